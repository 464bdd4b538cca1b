import { expect } from 'vitest';

/**
 * What somebody writes who has read nothing but the old description of the API: its paths, its bodies, its topics and its
 * payloads. `{name}` stands for what an earlier answer gave. Additional members of an answer do not disturb them.
 */

export type Who = 'owner' | 'second owner' | 'admin';

export interface Ask {
  /** Of the old description; see docs/coverage.md. */
  readonly line: string;
  readonly ask: string;
  readonly as?: Who;
  readonly body?: object;
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  /** Members that the answer must have. */
  readonly answer?: object;
  /** Of a bare array: one of its rows. */
  readonly row?: object;
  readonly answerHeaders?: Readonly<Record<string, unknown>>;
  /** Name → member of the answer that is needed later. */
  readonly keep?: Readonly<Record<string, string>>;
  /** What the box says is readable a moment later: asked again until it is so. */
  readonly soon?: true;
}

/** The box publishes below its topics, with the credentials that its registration gave. */
export interface Says {
  readonly line: string;
  readonly says: 'status' | 'heartbeat' | 'battery' | 'responses';
  readonly payload: object;
}

/** The last command that the box got on its topic for commands to open. */
export interface Got {
  readonly line: string;
  readonly got: object;
}

export interface Listens {
  readonly line: string;
  readonly listens: string;
  readonly as?: Who;
  /** Every later message of this kind is kept for `hears`. */
  readonly called: string;
}

export interface Hears {
  readonly line: string;
  readonly hears: string;
  readonly message: object;
}

export type Row = Ask | Says | Got | Listens | Hears;

const text = expect.any(String) as unknown;
const number = expect.any(Number) as unknown;
const list = expect.any(Array) as unknown;
const uuid = expect.stringMatching(/^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/) as unknown;
const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/) as unknown;
/** A machine that is busy with other tests answers slowly, and says so. */
const there = expect.stringMatching(/^(healthy|degraded)$/) as unknown;
const sixDigits = expect.stringMatching(/^\d{6}$/) as unknown;

const now = () => new Date().toISOString();
const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();

/** Serial numbers of this run. */
export const serials = { box: 'LB-004471', second: 'LB-004472' } as const;
export const people = {
  owner: { email: 'ana@example.com', password: 'Sunny-Balcony-7' },
  second: { email: 'ben@example.com', password: 'Rainy-Terrace-8' },
} as const;

const link = { id: text, device_id: '{box}', expires_at: time, is_active: true, usage_count: 0 };
const device = { id: '{box}', serial_number: serials.box, assigned_at: time };

export const accounts: readonly Row[] = [
  { line: 'S0-66', ask: 'GET /health', status: 200, answer: { status: there, service: 'loqey-backend', timestamp: time, services: { database: text, mqtt: text, redis: text } } },
  { line: 'S0-17', ask: 'GET /openapi.json', status: 200, answer: { info: { title: 'Loqey Backend API' } } },
  { line: 'S0-17', ask: 'GET /docs', status: 200, answerHeaders: { 'content-type': 'text/html; charset=utf-8' } },
  { line: 'S0-17', ask: 'GET /redoc', status: 200, answerHeaders: { 'content-type': 'text/html; charset=utf-8' } },
  {
    line: 'S0-22', ask: 'POST /api/v1/auth/register',
    body: { ...people.owner, full_name: 'Ana Maria Demir', state: 'Izmir' },
    status: 201, answer: { access_token: text, refresh_token: text, user: { id: uuid, email: people.owner.email, full_name: 'Ana Maria Demir' } },
    keep: { owner: 'access_token', 'owner id': 'user.id' },
  },
  {
    line: 'S0-22', ask: 'POST /api/v1/auth/register',
    body: { ...people.second, first_name: 'Ben', last_name: 'Stone', resident_state: 'Izmir', zip_code: '35000', phone_number: '+90 555 0100' },
    status: 201, answer: { user: { email: people.second.email, full_name: 'Ben Stone' } },
    keep: { 'second owner': 'access_token', 'second id': 'user.id' },
  },
  { line: 'S0-22', ask: 'POST /api/v1/auth/register', body: { ...people.owner, full_name: 'Ana', state: 'Izmir' }, status: 409, answer: { error: 'conflict', message: text } },
  { line: 'S0-23', ask: 'POST /api/v1/auth/login', body: people.owner, status: 200, answer: { access_token: text, refresh_token: text, user: { email: people.owner.email } }, keep: { owner: 'access_token', refresh: 'refresh_token' } },
  { line: 'S0-23', ask: 'POST /api/v1/auth/login', body: { ...people.owner, password: 'wrong' }, status: 401, answer: { error: 'unauthorized' } },
  { line: 'S0-25', ask: 'POST /api/v1/auth/refresh', body: { refresh_token: '{refresh}' }, status: 200, answer: { access_token: text }, keep: { owner: 'access_token' } },
  { line: 'S0-26', ask: 'GET /api/v1/auth/me', as: 'owner', status: 200, answer: { id: '{owner id}', email: people.owner.email, full_name: 'Ana Maria Demir', created_at: time } },
  { line: 'S0-65', ask: 'GET /api/v1/auth/profile', as: 'owner', status: 200, answer: { id: '{owner id}', email: people.owner.email } },
  { line: 'S0-24', ask: 'POST /api/v1/auth/login', body: people.owner, status: 200, keep: { leaving: 'access_token' } },
  { line: 'S0-24', ask: 'POST /api/v1/auth/logout', headers: { authorization: 'Bearer {leaving}' }, status: 200, answer: { message: 'Logged out successfully' } },
  { line: 'S0-24', ask: 'GET /api/v1/auth/me', headers: { authorization: 'Bearer {leaving}' }, status: 401, answer: { error: 'unauthorized', message: 'Invalid or expired token' } },
  { line: 'S0-18', ask: 'GET /api/v1/devices/my-devices', status: 401, answer: { error: 'unauthorized' } },
  { line: 'S0-18', ask: 'GET /api/v1/devices/my-devices', headers: { authorization: 'Bearer nonsense' }, status: 401, answer: { error: 'unauthorized', message: 'Invalid or expired token' } },
  {
    line: 'S0-19', ask: 'OPTIONS /api/v1/devices/my-devices',
    headers: { origin: 'http://localhost:3000', 'access-control-request-method': 'PUT', 'access-control-request-headers': 'authorization,content-type' },
    status: 204,
    answerHeaders: {
      'access-control-allow-origin': 'http://localhost:3000',
      'access-control-allow-credentials': 'true',
      'access-control-allow-methods': expect.stringContaining('PUT'),
      'access-control-allow-headers': expect.stringContaining('authorization'),
    },
  },
];

export const claims: readonly Row[] = [
  { line: 'S0-40', ask: 'POST /api/v1/admin/auth/login', body: { email: '{admin email}', password: '{admin password}' }, status: 200, answer: { access_token: text, user: { role: 'super_admin' } }, keep: { admin: 'access_token' } },
  { line: 'S0-40', ask: 'POST /api/v1/admin/auth/login', body: people.owner, status: 403, answer: { error: 'forbidden', message: 'Insufficient permissions' } },
  {
    line: 'S0-43', ask: 'POST /api/v1/admin/devices/register', as: 'admin',
    body: { serial_number: serials.box, device_model: 'LoqeyBox-V1' },
    status: 201, answer: { device_id: uuid, serial_number: serials.box, pin: sixDigits, message: 'Device registered successfully' },
    keep: {
      box: 'device_id', pin: 'pin',
      'mqtt url': 'provisioning.mqtt.url', 'mqtt client': 'provisioning.mqtt.client_id', 'mqtt user': 'provisioning.mqtt.username', 'mqtt password': 'provisioning.mqtt.password',
    },
  },
  { line: 'S0-43', ask: 'POST /api/v1/admin/devices/register', as: 'admin', body: { serial_number: serials.box }, status: 409, answer: { error: 'conflict' } },
  { line: 'S0-43', ask: 'POST /api/v1/admin/devices/register', as: 'admin', body: { serial_number: serials.second }, status: 201, keep: { 'second box': 'device_id', 'second pin': 'pin' } },
  { line: 'S0-20', ask: 'POST /api/v1/admin/devices/register', as: 'owner', body: { serial_number: 'LB-004499' }, status: 403, answer: { error: 'forbidden', message: 'Insufficient permissions' } },
  { line: 'S0-42', ask: 'GET /api/v1/admin/devices?status=all&assigned=false&limit=50&offset=0', as: 'admin', status: 200, row: { id: '{box}', serial_number: serials.box, assigned_to: null, assigned_at: null } },
  { line: 'S0-28', ask: 'POST /api/v1/devices/assign', as: 'owner', body: { serial_number: serials.box, pin: '12ab' }, status: 400, answer: { error: 'validation_error', message: 'Invalid PIN format', details: { pin: 'PIN must be 6 digits' } } },
  { line: 'S0-28', ask: 'POST /api/v1/devices/assign', as: 'owner', body: { serial_number: 'LB-999999', pin: '123456' }, status: 404, answer: { error: 'not_found', message: 'Device not found' } },
  { line: 'S0-28', ask: 'POST /api/v1/devices/assign', as: 'owner', body: { serial_number: serials.box, pin: '{wrong pin}' }, status: 403, answer: { error: 'forbidden', message: 'Invalid PIN' } },
  { line: 'S0-28', ask: 'POST /api/v1/devices/assign', as: 'owner', body: { serial_number: serials.box, pin: '{pin}' }, status: 200, answer: { message: 'Device assigned successfully', device: { ...device, name: 'Loqey Box 4471', mqtt_client_id: 'device_{box}' } } },
  { line: 'S0-28', ask: 'POST /api/v1/devices/assign', as: 'second owner', body: { serial_number: serials.box, pin: '{pin}' }, status: 409, answer: { error: 'conflict', message: 'Device already assigned to another user' } },
  { line: 'S0-63', ask: 'POST /api/v1/devices/add', as: 'second owner', body: { serial_number: serials.second, pin: '{second pin}' }, status: 200, answer: { message: 'Device assigned successfully' } },
  { line: 'S0-27', ask: 'GET /api/v1/devices/my-devices', as: 'owner', status: 200, row: { ...device, status: 'unknown' } },
];

/** The box is connected from here on, and answers each command to open. */
export const reports: readonly Row[] = [
  { line: 'S0-59', listens: '/ws/devices/{box}', as: 'owner', called: 'the box' },
  { line: 'S0-62', listens: '/api/v1/ws/device-status', as: 'owner', called: 'all boxes' },
  { line: 'S0-60', listens: '/ws/admin/system', as: 'admin', called: 'the system' },
  { line: 'S0-71', says: 'status', payload: { device_id: '{box}', status: 'locked', battery: 85, online: true, timestamp: now(), firmware_version: '1.0.0' } },
  { line: 'S0-59', hears: 'the box', message: { type: 'status_update', device_id: '{box}', status: 'locked', timestamp: time } },
  { line: 'S0-62', hears: 'all boxes', message: { type: 'status_update', device_id: '{box}', status: 'locked', timestamp: time } },
  { line: 'S0-30', ask: 'GET /api/v1/devices/{box}/status', as: 'owner', soon: true, status: 200, answer: { device_id: '{box}', status: 'locked', battery_level: 85, is_online: true, last_heartbeat: time } },
  { line: 'S0-74', says: 'heartbeat', payload: { device_id: '{box}', online: true, battery: 84, signal_strength: -61, timestamp: now() } },
  { line: 'S0-74', ask: 'GET /api/v1/devices/{box}/status', as: 'owner', soon: true, status: 200, answer: { battery_level: 84 } },
  { line: 'S0-74', says: 'heartbeat', payload: { timestamp: now(), status: 'online' } },
  { line: 'S0-75', says: 'battery', payload: { level: 80 } },
  { line: 'S0-75', ask: 'GET /api/v1/devices/{box}/status', as: 'owner', soon: true, status: 200, answer: { battery_level: 80, is_online: true } },
  { line: 'S0-75', says: 'battery', payload: { battery_level: 78 } },
  { line: 'S0-71', says: 'status', payload: { status: 'locked', timestamp: now(), battery_level: 76 } },
  { line: 'S0-71', ask: 'GET /api/v1/devices/{box}/status', as: 'owner', soon: true, status: 200, answer: { status: 'locked', battery_level: 76 } },
  { line: 'S0-27', ask: 'GET /api/v1/devices/my-devices', as: 'owner', soon: true, status: 200, row: { ...device, status: 'locked', battery_level: 76, is_online: true } },
];

const shut: readonly Row[] = [
  { line: 'S0-71', says: 'status', payload: { device_id: '{box}', status: 'locked', battery: 76, online: true, timestamp: now(), firmware_version: '1.0.0' } },
  { line: 'S0-30', ask: 'GET /api/v1/devices/{box}/status', as: 'owner', soon: true, status: 200, answer: { device_id: '{box}', status: 'locked', last_unlock: time } },
];

export const opening: readonly Row[] = [
  { line: 'S0-31', ask: 'POST /api/v1/devices/{box}/unlock', as: 'owner', status: 200, answer: { message: 'Unlock command sent', status: 'unlocking', success: true } },
  { line: 'S0-72', got: { command: 'unlock', action: 'unlock', device_id: '{box}', source: 'mobile_app', user_id: '{owner id}', timestamp: time } },
  { line: 'S0-73', ask: 'GET /api/v1/devices/{box}/status', as: 'owner', soon: true, status: 200, answer: { status: 'unlocked', last_unlock: time } },
  { line: 'S0-59', hears: 'the box', message: { type: 'status_update', device_id: '{box}', status: 'unlocked' } },
  ...shut,
  { line: 'S0-63', ask: 'PUT /api/v1/devices/{box}/unlock', as: 'owner', status: 200, answer: { message: 'Unlock command sent', status: 'unlocking' } },
  { line: 'S0-63', ask: 'GET /api/v1/devices/{box}/status', as: 'owner', soon: true, status: 200, answer: { status: 'unlocked' } },
  ...shut,
  { line: 'S0-31', ask: 'POST /api/v1/devices/{box}/unlock', as: 'second owner', status: 404, answer: { error: 'not_found', message: 'Device not found or access denied' } },
  { line: 'S0-31', ask: 'POST /api/v1/devices/{second box}/unlock', as: 'second owner', status: 409, answer: { error: 'conflict', message: 'Device is offline' } },
  { line: 'S0-63', ask: 'PUT /api/v1/devices/{box}/lock', as: 'owner', status: 422, answer: { error: 'unprocessable', message: 'Devices can only be unlocked; lock state is reported by the device' } },
  { line: 'S0-63', ask: 'GET /api/v1/devices', as: 'owner', status: 200, row: device },
];

export const links: readonly Row[] = [
  {
    line: 'S0-33', ask: 'POST /api/v1/access/create-link', as: 'owner', body: { device_id: '{box}', expires_at: inHours(2), max_uses: 1, name: 'Parcel Friday' },
    status: 200, answer: { link_id: expect.stringMatching(/^[A-Za-z0-9_-]{32}$/), access_url: expect.stringMatching(/^https?:\/\/[^/]+\/unlock\/[A-Za-z0-9_-]{32}$/), expires_at: time }, keep: { link: 'link_id', 'link url': 'access_url' },
  },
  { line: 'S0-33', ask: 'POST /api/v1/access/create-link', as: 'owner', body: { device_id: '{box}' }, status: 200, answer: { link_id: text, expires_at: time, max_uses: 1 }, keep: { 'spare link': 'link_id' } },
  { line: 'S0-33', ask: 'POST /api/v1/access/create-link', as: 'owner', body: { device_id: '{box}', expires_at: inHours(24 * 8) }, status: 400, answer: { error: 'validation_error', details: { expires_at: text } } },
  { line: 'S0-33', ask: 'POST /api/v1/access/create-link', as: 'second owner', body: { device_id: '{box}' }, status: 404, answer: { error: 'not_found' } },
  { line: 'S0-32', ask: 'GET /api/v1/access/my-links', as: 'owner', status: 200, row: link },
  { line: 'S0-21', ask: 'GET /api/v1/access/my-links?limit=1&offset=0', as: 'owner', status: 200, row: link },
  { line: 'S0-34', ask: 'GET /api/v1/access/links/{link}', as: 'owner', status: 200, answer: link },
  { line: 'S0-35', ask: 'PUT /api/v1/access/links/{link}', as: 'owner', body: { expires_at: inHours(3), max_uses: 1 }, status: 200, answer: { message: 'Link updated successfully', link: { device_id: '{box}', is_active: true } } },
  { line: 'S0-64', ask: 'POST /api/v1/links/create', as: 'owner', body: { device_id: '{box}', max_uses: 2 }, status: 200, answer: { link_id: text, access_url: text }, keep: { 'old link': 'link_id' } },
  { line: 'S0-64', ask: 'GET /api/v1/links/device/{box}', as: 'owner', status: 200, row: link },
  { line: 'S0-64', ask: 'PUT /api/v1/links/{old link}/revoke', as: 'owner', status: 200, answer: { message: 'Link deactivated successfully' } },
  { line: 'S0-64', ask: 'DELETE /api/v1/links/{old link}', as: 'owner', status: 200, answer: { message: 'Link deleted successfully' } },
];

export const deliveries: readonly Row[] = [
  { line: 'S0-96', ask: 'HEAD /api/v1/delivery/link/{link}/info', status: 200 },
  { line: 'S0-58', ask: 'GET /unlock/{link}', status: 200, answerHeaders: { 'content-type': expect.stringContaining('text/html') } },
  { line: 'S0-54', ask: 'GET /api/v1/delivery/link/{link}/info', status: 200, answer: { device_id: '{box}', device_location: null, is_valid: true, expires_at: time, already_used: false } },
  { line: 'S0-65', ask: 'GET /api/delivery/{link}', status: 200, answer: { device_id: '{box}', is_valid: true } },
  { line: 'S0-56', ask: 'GET /api/v1/delivery/link/{link}/status', status: 200, answer: { link_status: 'active', device_status: 'locked', unlocked_at: null } },
  { line: 'S0-61', listens: '/ws/delivery/{link}', called: 'the delivery' },
  {
    line: 'S0-55', ask: 'POST /api/v1/delivery/link/{link}/unlock',
    body: { delivery_person_name: 'Jo Courier', delivery_person_id: 'C-117', courier_company: 'Swift Parcels', delivery_person_phone: '+90 555 0117', delivery_notes: 'left side' },
    status: 200, answer: { message: 'Device unlocked successfully', device_id: '{box}', unlocked_at: time, delivery_complete: true },
  },
  { line: 'S0-72', got: { command: 'unlock', action: 'unlock', device_id: '{box}', source: 'delivery_link', timestamp: time } },
  { line: 'S0-61', hears: 'the delivery', message: { type: 'unlock_confirmation', device_id: '{box}', status: 'unlocked' } },
  { line: 'S0-60', hears: 'the system', message: { type: 'device_activity', device_id: '{box}', action: 'unlocked', user: 'delivery_link' } },
  { line: 'S0-56', ask: 'GET /api/v1/delivery/link/{link}/status', soon: true, status: 200, answer: { link_status: 'used', device_status: 'unlocked', unlocked_at: time } },
  { line: 'S0-54', ask: 'GET /api/v1/delivery/link/{link}/info', soon: true, status: 200, answer: { is_valid: false, already_used: true } },
  { line: 'S0-57', ask: 'POST /api/v1/delivery/link/{link}/unlock', status: 422, answer: { error: 'unprocessable', message: 'Access link has already been used' } },
  { line: 'S0-38', ask: 'GET /api/v1/deliveries/my-deliveries?device_id={box}&limit=20&offset=0', as: 'owner', soon: true, status: 200, row: { id: uuid, device_id: '{box}', unlocked_at: time, unlocked_by: 'delivery_link' }, keep: { delivery: '0.id' } },
  { line: 'S0-39', ask: 'GET /api/v1/deliveries/{delivery}', as: 'owner', status: 200, answer: { id: '{delivery}', device_id: '{box}', unlocked_by: 'delivery_link', delivery_person_name: 'Jo Courier', delivery_person_id: 'C-117', courier_company: 'Swift Parcels', delivery_notes: 'left side' } },
  { line: 'S0-39', ask: 'GET /api/v1/deliveries/{delivery}', as: 'second owner', status: 404, answer: { error: 'not_found' } },
  ...shut,
  { line: 'S0-65', ask: 'POST /api/delivery/{spare link}/unlock', status: 200, answer: { message: 'Device unlocked successfully', delivery_complete: true } },
  ...shut,
  { line: 'S0-37', ask: 'POST /api/v1/access/create-link', as: 'owner', body: { device_id: '{box}' }, status: 200, keep: { 'ended link': 'link_id' } },
  { line: 'S0-37', ask: 'POST /api/v1/access/links/{ended link}/deactivate', as: 'owner', status: 200, answer: { message: 'Link deactivated successfully' } },
  { line: 'S0-57', ask: 'POST /api/v1/delivery/link/{ended link}/unlock', status: 422, answer: { error: 'unprocessable', message: 'Access link was cancelled' } },
  { line: 'S0-97', ask: 'PUT /api/v1/access/links/{ended link}', as: 'owner', body: { max_uses: 5 }, status: 422, answer: { error: 'unprocessable' } },
  { line: 'S0-36', ask: 'DELETE /api/v1/access/links/{ended link}', as: 'owner', status: 200, answer: { message: 'Link deleted successfully' } },
  { line: 'S0-33', ask: 'POST /api/v1/access/create-link', as: 'owner', body: { device_id: '{box}', expires_at: '{a moment}' }, status: 200, keep: { 'short link': 'link_id' } },
  { line: 'S0-54', ask: 'GET /api/v1/delivery/link/{short link}/info', soon: true, status: 200, answer: { is_valid: false, device_id: null } },
  { line: 'S0-57', ask: 'POST /api/v1/delivery/link/{short link}/unlock', status: 422, answer: { error: 'unprocessable', message: 'Access link has expired' } },
  { line: 'S0-78', ask: 'GET /api/v1/access/links/{short link}', as: 'owner', soon: true, status: 200, answer: { is_active: false, status: 'expired' } },
  { line: 'S0-57', ask: 'GET /api/v1/delivery/link/abc123/info', status: 404, answer: { error: 'not_found' } },
];

export const administration: readonly Row[] = [
  { line: 'S0-41', ask: 'GET /api/v1/admin/dashboard', as: 'admin', soon: true, status: 200, answer: { total_devices: 2, active_devices: number, total_users: number, deliveries_today: 2, system_health: there } },
  { line: 'S0-42', ask: 'GET /api/v1/admin/devices?status=all&assigned=true&limit=50&offset=0', as: 'admin', status: 200, row: { id: '{box}', serial_number: serials.box, assigned_to: people.owner.email, assigned_at: time } },
  { line: 'S0-44', ask: 'GET /api/v1/admin/devices/{box}', as: 'admin', status: 200, answer: { id: '{box}', serial_number: serials.box, assigned_to: people.owner.email, pin: '{pin}', last_activity: time } },
  { line: 'S0-47', ask: 'POST /api/v1/admin/devices/{box}/unlock', as: 'admin', status: 200, answer: { message: 'Emergency unlock command sent' } },
  { line: 'S0-47', ask: 'GET /api/v1/devices/{box}/status', as: 'owner', soon: true, status: 200, answer: { status: 'unlocked' } },
  { line: 'S0-72', got: { command: 'unlock', source: 'web_dashboard' } },
  ...shut,
  { line: 'S0-45', ask: 'PUT /api/v1/admin/devices/{box}/regenerate-pin', as: 'admin', status: 200, answer: { device_id: '{box}', new_pin: sixDigits, message: 'PIN regenerated successfully. Previous PIN disabled.' }, keep: { 'new pin': 'new_pin' } },
  { line: 'S0-48', ask: 'GET /api/v1/admin/users?active=true&limit=50&offset=0', as: 'admin', status: 200, row: { id: '{owner id}', email: people.owner.email, full_name: 'Ana Maria Demir', device_count: 1, created_at: time } },
  { line: 'S0-49', ask: 'GET /api/v1/admin/users/{owner id}', as: 'admin', status: 200, answer: { id: '{owner id}', email: people.owner.email, devices: list, access_links: list, delivery_history: list } },
  { line: 'S0-51', ask: 'GET /api/v1/admin/logs/audit?action=device_unlock&date_from=2024-01-01&limit=100', as: 'admin', soon: true, status: 200, row: { timestamp: time, action: 'device_unlock', device_id: '{box}', details: expect.any(Object) } },
  {
    line: 'S0-52', ask: 'GET /api/v1/admin/analytics/deliveries?date_from={today}', as: 'admin', status: 200,
    answer: { total_deliveries: 2, daily_breakdown: list, peak_hours: list },
  },
  {
    line: 'S0-53', ask: 'GET /api/v1/admin/system/health', as: 'admin', status: 200,
    answer: { database: there, mqtt_broker: there, celery_workers: there, api_response_time: expect.stringMatching(/^\d+ms$/) },
  },
  { line: 'S0-100', ask: 'GET /api/v1/admin/dashboard', as: 'owner', status: 403, answer: { error: 'forbidden', message: 'Insufficient permissions' } },
];

/** What ends the story. */
export const partings: readonly Row[] = [
  { line: 'S0-95', ask: 'POST /api/v1/access/create-link', as: 'owner', body: { device_id: '{box}' }, status: 200, keep: { 'last link': 'link_id' } },
  { line: 'S0-29', ask: 'DELETE /api/v1/devices/{box}/unlink', as: 'owner', status: 200, answer: { message: 'Device unlinked successfully' } },
  { line: 'S0-95', ask: 'POST /api/v1/delivery/link/{last link}/unlock', status: 422, answer: { error: 'unprocessable' } },
  { line: 'S0-20', ask: 'GET /api/v1/devices/{box}/status', as: 'owner', status: 404, answer: { error: 'not_found', message: 'Device not found' } },
  { line: 'S0-98', ask: 'POST /api/v1/devices/assign', as: 'owner', body: { serial_number: serials.box, pin: '{new pin}' }, status: 422, answer: { error: 'unprocessable' } },
  { line: 'S0-45', ask: 'PUT /api/v1/admin/devices/{box}/regenerate-pin', as: 'admin', status: 200, keep: { 'third pin': 'new_pin' } },
  { line: 'S0-28', ask: 'POST /api/v1/devices/assign', as: 'owner', body: { serial_number: serials.box, pin: '{third pin}' }, status: 200, answer: { message: 'Device assigned successfully' } },
  { line: 'S0-46', ask: 'DELETE /api/v1/admin/devices/{box}/unlink', as: 'admin', status: 200, answer: { message: 'Device unlinked from user successfully' } },
  { line: 'S0-50', ask: 'PUT /api/v1/admin/users/{owner id}/suspend', as: 'admin', status: 200, answer: { message: 'User account suspended' } },
  { line: 'S0-50', ask: 'GET /api/v1/auth/me', as: 'owner', status: 403, answer: { error: 'forbidden', message: 'User account is suspended' } },
  { line: 'S0-50', ask: 'POST /api/v1/auth/login', body: people.owner, status: 403, answer: { error: 'forbidden' } },
  { line: 'S0-50', ask: 'PUT /api/v1/admin/users/{owner id}/activate', as: 'admin', status: 200, answer: { message: 'User account activated' } },
  { line: 'S0-50', ask: 'POST /api/v1/auth/login', body: people.owner, status: 200, answer: { access_token: text } },
];

