import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { linkTokenHash, linkTokenPattern, newLinkToken } from '../../src/api/link-token.ts';
import { clientAddress, hostAllowed, networkOf, type TrustedProxies } from '../../src/api/client.ts';
import { originAllowed } from '../../src/api/origins.ts';
import { positionTokens } from '../../src/api/position.ts';
import { pathsOf, Router } from '../../src/api/router.ts';
import { routeTable } from '../../src/api/table.ts';
import { startOfDay } from '../../src/api/time.ts';
import { accessTokens } from '../../src/api/tokens.ts';
import { newId, timeOf } from '../../src/platform/ids.ts';

const LOG = '11111111-1111-4111-8111-111111111111';

describe('router', () => {
  const router = new Router(routeTable);

  test('finds every path of the table, with its values in order', () => {
    for (const route of routeTable) {
      for (const { method, path } of pathsOf(route)) {
        const found = router.find(method, path.replaceAll(/\{(\w+)\}/g, 'value-of-$1'));
        expect(found.kind, `${method} ${path}`).toBe('found');
        if (found.kind !== 'found') continue;
        expect(found.endpoint.route).toBe(route);
        expect(found.values).toEqual(found.endpoint.names.map((name) => `value-of-${name}`));
      }
    }
  });

  test('static names come before parameters', () => {
    const at = (path: string) => {
      const found = router.find('GET', path);
      return found.kind === 'found' ? found.endpoint.route.id : found.kind;
    };
    expect([at('/api/v1/devices/my-devices'), at('/api/v1/devices/x'), at('/api/v1/links/device/x'), at('/api/v1/links/x'), at('/api/delivery/link/x/info'), at('/api/delivery/x')]).toEqual([
      'myDevices', 'getDevice', 'linksOfDevice', 'getLink', 'linkInfo', 'linkInfo',
    ]);
  });

  test('no path makes it throw', () => {
    // Not fc.webPath(): to make that one alone takes over a second.
    const anyPath = fc.stringMatching(/^(\/[\w.~%!$&'()*+,;=:@-]*)+$/);
    fc.assert(
      fc.property(anyPath, fc.string(), (path, rest) => {
        for (const each of [path, `/api/v1/devices/${rest}`, `/${rest}`]) expect(['found', 'wrong_method', 'nothing', 'malformed']).toContain(router.find('GET', each).kind);
      }),
    );
    expect(router.find('GET', '/api/v1/devices/__proto__').kind).toBe('found'); // a value like any other, refused as no id
    expect(router.find('GET', '/constructor').kind).toBe('nothing');
  });

  test('the same method and path twice is an error at start', () => {
    const [first] = routeTable;
    if (first === undefined) throw new Error('empty table');
    expect(() => new Router([first, first])).toThrow('is declared twice');
  });

  test('every route has a name of its own', () => {
    expect(new Set(routeTable.map(({ id }) => id)).size).toBe(routeTable.length);
  });
});

describe('link tokens', () => {
  test('have 32 signs, each of 62 as likely as any', () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 2_000; i++) {
      const token = newLinkToken();
      expect(token).toMatch(linkTokenPattern);
      for (const sign of token) counts.set(sign, (counts.get(sign) ?? 0) + 1);
    }
    const expected = (2_000 * 32) / 62;
    const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    expect(counts.size).toBe(62);
    // 61 degrees of freedom: beyond 130 once in a million runs; a modulo bias of 256 % 62 gives over 600.
    expect(chiSquare).toBeLessThan(130);
  });

  test('are looked up by a hash that is for ever', () => {
    expect(linkTokenHash('A'.repeat(32))).toBe('dd89e34502e75f6c03d918346556cbbbd43858e8a232aabc2032b6801df3a621');
  });
});

describe('position tokens', () => {
  test('come back as they went, and only from the same log', () => {
    const tokens = positionTokens(LOG);
    const others = positionTokens('22222222-2222-4222-8222-222222222222');
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), (position) => {
        expect(tokens.decode(tokens.encode(position))).toBe(position);
        expect(others.decode(tokens.encode(position))).toBeUndefined();
      }),
    );
    fc.assert(fc.property(fc.string(), (text) => tokens.decode(text) === undefined));
  });
});

describe('access tokens', () => {
  const clock = { now: () => Date.parse('2026-11-21T10:00:00.000Z'), monotonic: () => 0 };
  const settings = (keys: { kid: string; secret: string }[]) => ({ keys, issuer: 'loqey', audiences: { user: 'loqey-api', admin: 'loqey-admin' }, accessSeconds: 600 });
  const [one, two] = [{ kid: 'one', secret: 'the first secret of thirty-two bytes' }, { kid: 'two', secret: 'the second secret of thirty-two bytes' }];
  const session = { userId: newId(), sessionId: newId(), scope: 'user' as const };

  test('outlive a rotation of the key as long as the old one is listed', () => {
    const token = accessTokens(settings([one]), clock).sign(session, 3);
    expect(accessTokens(settings([two, one]), clock).verify(token)).toMatchObject({ ...session, version: 3 });
    expect(accessTokens(settings([two]), clock).verify(token)).toBeUndefined();
  });

  test('are not made with a short or missing secret', () => {
    expect(() => accessTokens(settings([{ kid: 'x', secret: 'short' }]), clock)).toThrow('SECRET_KEY');
    expect(() => accessTokens(settings([]), clock)).toThrow('SECRET_KEY');
  });
});

describe('where a request comes from', () => {
  test('hosts', () => {
    const allowed = ['localhost', '*.loqey.com'];
    expect(['localhost', 'LOCALHOST:8000', 'api.loqey.com', 'a.b.loqey.com:443'].every((host) => hostAllowed(host, allowed))).toBe(true);
    expect([undefined, '', 'loqey.com', 'evilloqey.com', 'localhost.evil', 'api.loqey.com.evil'].some((host) => hostAllowed(host, allowed))).toBe(false);
    expect(hostAllowed('anything', ['*'])).toBe(true);
  });

  test('origins: this machine only outside production', () => {
    const development = { corsOrigins: ['https://app.loqey.com'], production: false };
    expect(originAllowed('http://localhost:3000', development)).toBe(true);
    expect(originAllowed('http://localhost:3000', { ...development, production: true })).toBe(false);
    expect(originAllowed('http://localhost.evil.example', development)).toBe(false);
    expect(originAllowed('null', development)).toBe(false);
  });

  const from = (trusted: TrustedProxies, forwarded: string | undefined, remoteAddress = '10.0.0.1') =>
    clientAddress(trusted)({ headers: { 'x-forwarded-for': forwarded }, socket: { remoteAddress } } as never);

  test('addresses, past a number of proxies', () => {
    const hops = (count: number, forwarded: string | undefined) => from({ hops: count }, forwarded);
    expect([hops(0, '1.1.1.1'), hops(1, '1.1.1.1'), hops(1, '9.9.9.9, 1.1.1.1'), hops(2, '1.1.1.1, 2.2.2.2'), hops(1, undefined), hops(5, '1.1.1.1')]).toEqual([
      '10.0.0.1', '1.1.1.1', '1.1.1.1', '1.1.1.1', '10.0.0.1', '1.1.1.1',
    ]);
    expect([hops(1, 'unknown'), hops(1, '_hidden'), hops(1, '1.1.1.1:4711'), hops(1, '[2001:db8::1]:4711'), hops(1, '::ffff:1.2.3.4')]).toEqual([
      '10.0.0.1', '10.0.0.1', '1.1.1.1', '2001:db8::1', '1.2.3.4',
    ]);
  });

  test('addresses, past proxies of known networks: whoever comes directly is believed nothing', () => {
    const inside = { networks: ['loopback', '10.0.0.0/8', '2001:db8::/32'] };
    expect(from(inside, '9.9.9.9, 1.1.1.1, 10.9.9.9')).toBe('1.1.1.1');
    expect(from(inside, '1.1.1.1', '203.0.113.7')).toBe('203.0.113.7');
    expect(from(inside, '1.1.1.1', '::ffff:127.0.0.1')).toBe('1.1.1.1');
    expect(from(inside, '1.1.1.1', '2001:db8::7')).toBe('1.1.1.1');
    expect(from(inside, undefined)).toBe('10.0.0.1');
  });

  test('networks: an IPv4 address, or the /64 that one home has', () => {
    expect(networkOf('203.0.113.7')).toBe('203.0.113.7');
    for (const address of ['2001:db8:0:1::1', '2001:db8:0:1:ffff:0:0:1', '2001:0DB8:0000:0001::', '2001:db8::1:0:0:0:5']) expect(networkOf(address), address).toBe('2001:db8:0:1::/64');
    expect(networkOf('::1')).toBe('0:0:0:0::/64');
    expect(networkOf('fe80::1%eth0')).toBe('fe80:0:0:0::/64');
    expect(networkOf('64:ff9b::1.2.3.4')).toBe('64:ff9b:0:0::/64');
    expect(networkOf('2001:db8:0:2::1')).not.toBe(networkOf('2001:db8:0:1::1'));
  });
});

describe('time', () => {
  test('a day starts at midnight of its zone, also where the clock was changed since', () => {
    const start = (now: string, zone: string) => startOfDay(Date.parse(now), zone);
    expect(start('2026-11-21T10:00:00.123Z', 'UTC')).toBe('2026-11-21T00:00:00.000Z');
    expect(start('2026-11-21T22:30:00.000Z', 'Europe/Istanbul')).toBe('2026-11-21T21:00:00.000Z');
    expect(start('2026-03-29T10:00:00.000Z', 'Europe/Berlin')).toBe('2026-03-28T23:00:00.000Z');
    expect(start('2026-10-25T10:00:00.000Z', 'Europe/Berlin')).toBe('2026-10-24T22:00:00.000Z');
    expect(start('2026-11-21T10:00:00.000Z', 'America/New_York')).toBe('2026-11-21T05:00:00.000Z');
  });

  test('an id says when it was made', () => {
    expect(Math.abs(timeOf(newId()) - Date.now())).toBeLessThan(5_000);
  });
});
