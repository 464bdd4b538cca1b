import { expect, test } from 'vitest';
import { Router } from '../../src/api/router.ts';
import { routeTable } from '../../src/api/table.ts';

/** Every path that an owner's or courier's app was ever told of, and what it is called today (docs/coverage.md, S0-22 to S0-39, S0-54 to S0-56, S0-63 to S0-66). */
const paths: readonly (readonly [method: string, path: string, id: string])[] = [
  ['POST', '/auth/register', 'register'],
  ['POST', '/auth/login', 'login'],
  ['POST', '/auth/logout', 'logout'],
  ['POST', '/auth/refresh', 'refresh'],
  ['POST', '/auth/token/refresh', 'refresh'],
  ['GET', '/auth/me', 'me'],
  ['GET', '/auth/profile', 'me'],
  ['GET', '/users/profile', 'profile'],
  ['GET', '/profile', 'profile'],
  ['PUT', '/users/profile', 'changeProfile'],
  ['PUT', '/profile', 'changeProfile'],
  ['POST', '/users/change-password', 'changePassword'],
  ['GET', '/auth/sessions', 'sessions'],
  ['DELETE', '/auth/sessions/{id}', 'endSession'],
  ['GET', '/devices/my-devices', 'myDevices'],
  ['GET', '/devices', 'myDevices'],
  ['POST', '/devices/assign', 'assignDevice'],
  ['POST', '/devices/add', 'assignDevice'],
  ['POST', '/devices', 'assignDevice'],
  ['GET', '/devices/{id}', 'getDevice'],
  ['PUT', '/devices/{id}', 'changeDevice'],
  ['DELETE', '/devices/{id}', 'unlinkDevice'],
  ['DELETE', '/devices/{id}/unlink', 'unlinkDevice'],
  ['POST', '/devices/{id}/unlink-request', 'requestUnlink'],
  ['GET', '/devices/{id}/status', 'deviceStatus'],
  ['GET', '/devices/{id}/health', 'deviceHealth'],
  ['GET', '/devices/{id}/battery', 'deviceBattery'],
  ['GET', '/devices/{id}/activity', 'deviceActivity'],
  ['GET', '/devices/{id}/logs', 'deviceActivity'],
  ['GET', '/activities', 'activities'],
  ['POST', '/devices/{id}/unlock', 'unlockDevice'],
  ['PUT', '/devices/{id}/unlock', 'unlockDevice'],
  ['PUT', '/devices/{id}/lock', 'lockDevice'],
  ['POST', '/devices/{id}/lock', 'lockDevice'],
  ['GET', '/commands/{id}', 'getCommand'],
  ['GET', '/access/my-links', 'myLinks'],
  ['POST', '/access/create-link', 'createLink'],
  ['POST', '/links/create', 'createLink'],
  ['GET', '/links/device/{id}', 'linksOfDevice'],
  ['GET', '/access/links/{id}', 'getLink'],
  ['PUT', '/access/links/{id}', 'updateLink'],
  ['DELETE', '/access/links/{id}', 'deleteLink'],
  ['GET', '/links/{id}', 'getLink'],
  ['PUT', '/links/{id}', 'updateLink'],
  ['DELETE', '/links/{id}', 'deleteLink'],
  ['POST', '/access/links/{id}/deactivate', 'deactivateLink'],
  ['PUT', '/links/{id}/revoke', 'deactivateLink'],
  ['GET', '/access/links/{id}/qr', 'linkImage'],
  ['GET', '/deliveries/my-deliveries', 'myDeliveries'],
  ['GET', '/deliveries', 'myDeliveries'],
  ['GET', '/deliveries/{id}', 'getDelivery'],
  ['GET', '/delivery/link/{id}/info', 'linkInfo'],
  ['GET', '/delivery/{id}', 'linkInfo'],
  ['POST', '/delivery/link/{id}/unlock', 'linkUnlock'],
  ['POST', '/delivery/{id}/unlock', 'linkUnlock'],
  ['GET', '/delivery/link/{id}/status', 'linkStatus'],
  ['GET', '/health', 'health'],
];

const router = new Router(routeTable);

test.each(paths)('%s %s is %s, below both prefixes, with and without a slash at its end', (method, path, id) => {
  for (const prefix of ['/api/v1', '/api']) {
    for (const end of ['', '/']) {
      const found = router.find(method, prefix + path.replace('{id}', '00000000-0000-4000-8000-000000000001') + end);
      expect(found.kind === 'found' ? found.endpoint.route.id : found.kind, prefix + path + end).toBe(id);
    }
  }
});

test('of every path that is in the way of a parameter, the fixed name is meant', () => {
  const at = (path: string) => {
    const found = router.find('GET', path);
    return found.kind === 'found' ? found.endpoint.route.id : found.kind;
  };
  expect(['/api/v1/devices/my-devices', '/api/v1/deliveries/my-deliveries', '/api/v1/links/device/x', '/api/v1/delivery/link/x/info'].map(at)).toEqual([
    'myDevices', 'myDeliveries', 'linksOfDevice', 'linkInfo',
  ]);
});
