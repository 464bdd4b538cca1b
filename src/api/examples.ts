/** What a member of a request or an answer looks like, by its name. The description of the API makes its examples of these. */
const values: Readonly<Record<string, unknown>> = {
  access_token: 'eyJhbGciOiJIUzI1NiIsImtpZCI6IjdjNGE4ZDA5In0.eyJzdWIiOiI…',
  refresh_token: 'rt_5Jx0Qm8vT2nYbK4sWf9LhC1uEa7RdZpG',
  access: 'eyJhbGciOiJIUzI1NiIsImtpZCI6IjdjNGE4ZDA5In0.eyJzdWIiOiI…',
  refresh: 'rt_5Jx0Qm8vT2nYbK4sWf9LhC1uEa7RdZpG',
  expires_in: 1_800,
  email: 'ana@example.com',
  assigned_to: 'ana@example.com',
  password: 'correct horse battery',
  password_confirm: 'correct horse battery',
  current_password: 'correct horse battery',
  old_password: 'correct horse battery',
  new_password: 'a longer horse battery',
  new_password_confirm: 'a longer horse battery',
  full_name: 'Ana Demir',
  first_name: 'Ana',
  last_name: 'Demir',
  state: 'Izmir',
  resident_state: 'Izmir',
  zip_code: '35220',
  phone_number: '+90 555 010 0117',
  role: 'admin',
  permissions: ['devices:read', 'users:read'],
  language: 'en',
  serial_number: 'LB-2026-0001',
  hardware_id: 'A4CF12B37D5E',
  device_model: 'LoqeyBox-V1',
  model: 'LoqeyBox-V1',
  pin: '482913',
  new_pin: '907346',
  name: 'Front door',
  device_name: 'Front door',
  link_name: 'Parcel Friday',
  location_latitude: 38.42,
  location_longitude: 27.14,
  location_address: 'Kıbrıs Şehitleri Cd. 14, Izmir',
  device_location: 'Kıbrıs Şehitleri Cd. 14, Izmir',
  battery_level: 85,
  firmware_version: '1.4.2',
  firmware: '1.4.2',
  mqtt_client_id: 'device_6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10',
  client_id: 'device_6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10',
  username: '6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10',
  topic_prefix: 'loqey/devices/6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10',
  device_key: '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f',
  url: 'mqtts://broker.example.com:8883',
  link_id: '7kQm2vT9nYbK4sWfLhC1uEa5RdZpGx0J',
  link_token: '7kQm2vT9nYbK4sWfLhC1uEa5RdZpGx0J',
  access_url: 'https://app.loqey.com/unlock/7kQm2vT9nYbK4sWfLhC1uEa5RdZpGx0J',
  status_url: '/api/v1/commands/0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50',
  max_uses: 1,
  usage_count: 0,
  current_uses: 0,
  uses_left: 1,
  time_zone: 'Europe/Istanbul',
  days: [1, 2, 3, 4, 5],
  from: '09:00',
  to: '17:30',
  unlocked_by: 'delivery_link',
  delivery_person_name: 'Jo Courier',
  delivery_person_id: 'C-117',
  courier_company: 'Swift Parcels',
  delivery_person_phone: '+90 555 010 0118',
  delivery_notes: 'Left side',
  reference: 'WER4UC',
  confirm: 'ana@example.com',
  ground: 'requested',
  subject: 'user:0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50',
  export_path: '/api/v1/auth/me/export',
  retention_days: 30,
  reason: 'Moved to another flat',
  heading: 'The box is open.',
  text: 'Put the parcel in, then push the door until it clicks.',
  action: 'device_unlock',
  type: 'UnlockConfirmed',
  source: 'mobile_app',
  position: 'p1_8Jx0Qm8vT2',
  before: 'p1_8Jx0Qm8vT2',
  after: 'p1_8Jx0Qm8vT2',
  revision: '41',
  stream: 'device-6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10',
  api_response_time: '4ms',
  service: 'loqey-backend',
  version: '1.0.0',
  ip_address: '203.0.113.7',
  ip: '203.0.113.7',
  user_agent: 'Mozilla/5.0',
  date: '2026-11-21',
  day: '2026-11-21',
  date_from: '2026-11-01',
  date_to: '2026-11-21',
  details: {},
  root: '5f1c0a7de0b94b6a8d3c2e1f40997711aa22bb33cc44dd55ee66ff7788990011',
  path: ['0b9c2d4e6f8a1b3c5d7e9f00112233445566778899aabbccddeeff0011223344'],
  kid: '21fe31dfa154a261',
  x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
  pem: '-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n',
  signature: '5VZDAMNgrHKQhuLMgG6CioSHfx64-ZHXlCn7ShY0Zv1mXVC4mEEqyGGpQfVr0lqZ3e1w9tVrTQYB0m0oQ2gKAA',
};

const TIME = '2026-11-21T10:30:00.000Z';
const DEVICE = '6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10';
const OTHER = '0198c1de-7a10-7c3e-8f00-4b1d2e3f4a50';

interface Schema {
  readonly $ref?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly type?: string;
  readonly format?: string;
  readonly pattern?: string;
  readonly minimum?: number;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
}

/**
 * An example that fits a schema of the description.
 *
 * @param name of the member that it is, for its words
 */
export function exampleOf(schema: Schema, components: Readonly<Record<string, unknown>>, name = ''): unknown {
  if (schema.$ref !== undefined) return exampleOf((components[schema.$ref.split('/').at(-1) ?? ''] ?? {}) as Schema, components, name);
  if ('const' in schema) return schema.const;
  const value = values[name];
  if (schema.enum !== undefined) return schema.enum.includes(value) ? value : schema.enum[0];
  // Of several kinds the first; null only where there is nothing else.
  if (schema.anyOf !== undefined) return exampleOf(schema.anyOf.find(({ type }) => type !== 'null') ?? { type: 'null' }, components, name);
  switch (schema.type) {
    case 'object':
      return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([member, inner]) => [member, exampleOf(inner, components, member)]));
    case 'array':
      return Array.isArray(value) ? value : [exampleOf(schema.items ?? {}, components, name.replace(/s$/, ''))];
    case 'integer':
    case 'number':
      return typeof value === 'number' ? value : Math.max(schema.minimum ?? 1, 1);
    case 'boolean':
      return true;
    case 'null':
      return null;
    case 'string':
      return textOf(schema, name, value);
    default:
      return value ?? {};
  }
}

function textOf({ format, pattern = '' }: Schema, name: string, value: unknown): string {
  if (format === 'date-time') return TIME;
  if (pattern.includes('[0-9a-fA-F]{8}-')) return name === 'id' || name === 'device_id' ? DEVICE : OTHER;
  if (pattern === '^[0-9]{1,20}$') return '4711';
  return typeof value === 'string' ? value : name === 'message' ? 'It is done' : name.replaceAll('_', ' ');
}
