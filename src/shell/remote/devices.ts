import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { readCsv } from '../../api/csv.ts';
import { pause } from '../../platform/backoff.ts';
import { table } from '../terminal.ts';
import { failureOf, RemoteFailure, remoteExit, type Query, type Remote } from './client.ts';
import type { Job } from './command.ts';
import { newSecretFile } from './secret-file.ts';
import { ago, agreed, day, details, moment, shown } from './words.ts';

export interface Device {
  readonly id: string;
  readonly serial_number: string;
  readonly name: string | null;
  readonly model: string;
  readonly status: string;
  readonly lifecycle_status: string;
  readonly is_online: boolean;
  readonly battery_level: number | null;
  readonly firmware_version: string | null;
  readonly last_heartbeat: string | null;
  readonly last_unlock: string | null;
  readonly assigned_to: string | null;
  readonly assigned_at: string | null;
  readonly registered_at: string;
  readonly unlink_requested_at: string | null;
  readonly unlink_reason: string | null;
}

export interface ListOptions {
  readonly status?: string;
  readonly assigned?: true;
  readonly unassigned?: true;
  readonly online?: true;
  readonly offline?: true;
  readonly lowBattery?: true;
  readonly model?: string;
  readonly firmware?: string;
  readonly unlinkRequested?: true;
  readonly search?: string;
  readonly limit?: string;
}

export const list: Job<[], ListOptions> = async ({ terminal, remote }, _args, options) => {
  const query: Query = {
    status: options.status,
    assigned: options.assigned ?? (options.unassigned === true ? false : undefined),
    online: options.online ?? (options.offline === true ? false : undefined),
    low_battery: options.lowBattery,
    model: options.model,
    firmware: options.firmware,
    unlink_requested: options.unlinkRequested,
    search: options.search,
    limit: options.limit ?? 50,
  };
  const { rows, total, headers } = await (await remote()).list<Device>('/admin/devices', query);
  for (const row of rows) terminal.event('device', { ...row });
  if (terminal.json) return 0;
  if (rows.length > 0) {
    const cells = rows.map((row) => [row.serial_number, row.name ?? '-', stateOf(row), row.battery_level === null ? '-' : `${row.battery_level} %`, ago(row.last_heartbeat), row.assigned_to ?? '-']);
    terminal.out(table(['SERIAL', 'NAME', 'STATE', 'BATTERY', 'LAST HEARD', 'OWNER'], cells, { columns: terminal.columns, flexible: [1, 5], lastly: [0] }));
  }
  terminal.say(`${shown(rows.length, total, 'box')}${headers.get('loqey-count') === 'at_least' ? ' or more' : ''}`);
  return 0;
};

/** One word: what about a box matters most. */
function stateOf({ lifecycle_status: lifecycle, status, is_online: online }: Device): string {
  if (lifecycle !== 'active' && lifecycle !== 'assigned') return lifecycle;
  if (status === 'jammed' || status === 'error') return status;
  return online ? status : 'offline';
}

export const show: Job<[device: string]> = async ({ terminal, remote }, [named]) => {
  const device = await theDevice(await remote(), named);
  terminal.event('device', { ...device });
  if (terminal.json) return 0;
  terminal.out(
    details([
      ['Serial', device.serial_number],
      ['Name', device.name],
      ['State', `${stateOf(device)} (lock: ${device.status})`],
      ['Lifecycle', device.lifecycle_status],
      ['Owner', device.assigned_to === null ? null : `${device.assigned_to}, since ${day(device.assigned_at)}`],
      ['Battery', device.battery_level === null ? null : `${device.battery_level} %`],
      ['Firmware', device.firmware_version],
      ['Model', device.model],
      ['Last heard', ago(device.last_heartbeat)],
      ['Last opened', ago(device.last_unlock)],
      ['Registered', moment(device.registered_at)],
      ...(device.unlink_requested_at === null ? [] : ([['Unlink asked', `${moment(device.unlink_requested_at)}${device.unlink_reason === null ? '' : `: ${device.unlink_reason}`}`]] as const)),
      ['Id', device.id],
    ]),
  );
  return 0;
};

interface Registered {
  readonly device_id: string;
  readonly serial_number: string;
  readonly pin: string;
  readonly provisioning: object;
}

export interface RegisterOptions {
  readonly model?: string;
  readonly profile?: string;
  readonly hardwareId?: string;
  readonly file?: string;
  readonly out?: string;
  readonly dryRun?: true;
}

export const register: Job<[serial: string | undefined], RegisterOptions> = async (context, [serial], options) => {
  const { terminal, remote } = context;
  if ((serial === undefined) === (options.file === undefined)) throw new RemoteFailure(remoteExit.usage, 'Either a serial number, or --file with many.', ['loqey device register LB-2026-0001', 'loqey device register --file boxes.csv --out secrets.csv']);
  const api = await remote();
  if (options.file !== undefined) return registerMany(context, api, options.file, options);
  const { model: device_model, profile, hardwareId: hardware_id } = options;
  const made = await api.send<Registered>('POST', '/admin/devices/register', { serial_number: serial, device_model, profile, hardware_id });
  terminal.event('registered', { ...made });
  if (!terminal.json) {
    terminal.out(details([['Serial', made.serial_number], ['PIN', made.pin], ['Id', made.device_id]]));
    terminal.out(`Provisioning\n${JSON.stringify(made.provisioning, null, 2)}`);
    terminal.say('PIN and provisioning are shown once. The box is flashed with the one, its owner gets the other.');
  }
  return 0;
};

interface Report {
  readonly rows: readonly { readonly row: number; readonly serial_number: string; readonly result: string; readonly pin?: string; readonly message?: string; readonly details?: Readonly<Record<string, string>> }[];
  readonly summary: Readonly<Record<string, number>>;
}

/** Ten thousand boxes on a slow machine. */
const FILE_WITHIN_MS = 30 * 60_000;

async function registerMany({ terminal }: Parameters<typeof register>[0], api: Remote, file: string, { out, ...options }: RegisterOptions): Promise<number> {
  const dryRun = options.dryRun === true;
  const toFile = out !== undefined && !dryRun;
  const target = toFile ? await newSecretFile(out) : undefined;
  try {
    const body = new Uint8Array(await readFile(file));
    const format = toFile && out.endsWith('.csv') ? 'csv' : 'json';
    const response = await api.raw('POST', '/admin/devices/import', { query: { dry_run: dryRun || undefined, format }, body, contentType: 'text/csv', withinMs: FILE_WITHIN_MS });
    if (!response.ok) throw await failureOf(response);
    const text = await response.text();
    await target?.write(text);
    const { rows, summary } = format === 'csv' ? await reportOf(text) : (JSON.parse(text) as Report);
    for (const row of rows) terminal.event('device', { ...row });
    terminal.event('imported', { ...summary, ...(toFile ? { file: out } : {}) });
    if (!terminal.json) {
      const cells = rows.map((row) => [row.row, row.serial_number, row.result, row.pin ?? '-', [row.message, ...Object.entries(row.details ?? {}).map((each) => each.join(' '))].filter(Boolean).join(': ') || '-']);
      if (cells.length > 0) terminal.out(table(['ROW', 'SERIAL', 'RESULT', 'PIN', 'MESSAGE'], cells, { columns: terminal.columns, flexible: [4], lastly: [1] }));
      terminal.say(Object.entries(summary).flatMap(([name, count]) => (count === 0 ? [] : [`${count} ${words[name] ?? name}`])).join(', '));
      if (toFile) terminal.say(`All of it, with what is flashed into each box, is in ${out}. It is not shown again.`);
      else if ((summary['registered'] ?? 0) > 0) terminal.say('What is flashed into each box was not kept: name a file with --out the next time, or use --json.');
    }
    return (summary['failed'] ?? 0) + (summary['not_tried'] ?? 0) > 0 ? remoteExit.unexpected : (summary['invalid'] ?? 0) > 0 ? remoteExit.refused : 0;
  } finally {
    await target?.close();
  }
}

const words: Readonly<Record<string, string>> = { would_register: 'would be registered', exists: 'there already', duplicate: 'twice in the file', not_tried: 'not tried' };

/** Of the file that was kept: its rows, without what they are flashed with. */
async function reportOf(csv: string): Promise<Report> {
  const rows: Report['rows'][number][] = [];
  const summary: Record<string, number> = { rows: 0 };
  for await (const { cells } of readCsv(Readable.from([Buffer.from(csv)]), { cell: 100_000, cells: 7 })) {
    const [row = '', serial = '', result = '', , pin = '', message = ''] = cells;
    if (row === 'row') continue;
    rows.push({ row: Number(row), serial_number: serial, result, ...(pin === '' ? {} : { pin }), ...(message === '' ? {} : { message }) });
    summary['rows'] = (summary['rows'] ?? 0) + 1;
    summary[result] = (summary[result] ?? 0) + 1;
  }
  return { rows, summary };
}

export const pin: Job<[device: string], { new?: true; yes?: true }> = async ({ terminal, remote }, [named], options) => {
  const api = await remote();
  const { id, serial_number: serial } = await theDevice(api, named);
  let value: string | null;
  if (options.new === true) {
    if (!(await agreed(terminal, `${serial} gets a new PIN. The old one stops working at once; its owner keeps the box.`, options.yes === true))) return remoteExit.usage;
    value = (await api.send<{ new_pin: string }>('PUT', `/admin/devices/${id}/regenerate-pin`)).new_pin;
  } else {
    value = (await api.get<{ pin: string | null }>(`/admin/devices/${id}`)).pin;
  }
  terminal.event('pin', { id, serial_number: serial, pin: value });
  if (!terminal.json) terminal.out(value ?? '-');
  terminal.say(value === null ? `${serial} has no PIN: make one with --new.` : options.new === true ? 'The old PIN is disabled.' : 'That you looked at it is recorded.');
  return 0;
};

interface Progress {
  readonly command_id: string;
  readonly status: string;
  readonly message: string;
}

const FOLLOW_MS = 45_000;
const under: ReadonlySet<string> = new Set(['requested', 'dispatched', 'published', 'acknowledged']);

export const unlock: Job<[device: string], { reason?: string; yes?: true }> = async ({ terminal, remote }, [named], options) => {
  const api = await remote();
  const device = await theDevice(api, named);
  const reason = options.reason ?? (options.yes === true ? undefined : await terminal.ask('Why? (empty: the owner and every super_admin are told that no reason was given) '));
  if (!(await agreed(terminal, `${device.serial_number}${device.name === null ? '' : ` (${device.name})`} opens at once.`, options.yes === true))) return remoteExit.usage;
  const sent = await api.send<{ command_id: string }>('POST', `/admin/devices/${device.id}/unlock`, reason === undefined || reason === '' ? {} : { reason });
  const deadline = performance.now() + FOLLOW_MS;
  let progress: Progress;
  do {
    await pause(200);
    progress = await api.get<Progress>(`/commands/${sent.command_id}`);
  } while (under.has(progress.status) && performance.now() < deadline);
  terminal.event('unlock', { ...progress, serial_number: device.serial_number });
  if (!terminal.json) terminal.out(`${progress.message}   ${progress.command_id}`);
  terminal.say(`Step by step: loqey unlock trace ${progress.command_id}`);
  return progress.status === 'opened' ? 0 : progress.status === 'unknown' || under.has(progress.status) ? remoteExit.unknown : remoteExit.refused;
};

interface Ended {
  readonly message: string;
  readonly in_flight?: { readonly command_id: string };
}

function change(impact: (device: Device) => string, carry: (api: Remote, device: Device, reason: string | undefined) => Promise<Ended>, next?: (device: Device) => string): Job<[device: string], { reason?: string; yes?: true; end?: true }> {
  return async ({ terminal, remote }, [named], { reason, yes }) => {
    const api = await remote();
    const device = await theDevice(api, named);
    if (!(await agreed(terminal, impact(device), yes === true))) return remoteExit.usage;
    const done = await carry(api, device, reason);
    terminal.event('changed', { id: device.id, serial_number: device.serial_number, ...done });
    if (!terminal.json) terminal.out(done.message);
    if (done.in_flight !== undefined) terminal.say(`An opening was under way and could not be stopped: loqey unlock trace ${done.in_flight.command_id}`);
    if (next !== undefined) terminal.say(next(device));
    return 0;
  };
}

const bodyOf = (reason: string | undefined) => (reason === undefined ? {} : { reason });
const ownerOf = (device: Device) => (device.assigned_to === null ? 'nobody' : device.assigned_to);

export const unlink = change(
  (device) => `${device.serial_number} is taken from ${ownerOf(device)}: every link to it stops, and its PIN ends.`,
  (api, { id }, reason) => api.send('DELETE', `/admin/devices/${id}/unlink`, bodyOf(reason)),
);
export const decommission = change(
  (device) => `${device.serial_number} (owner: ${ownerOf(device)}) goes out of service for good. It never opens again, and cannot be registered again.`,
  (api, { id }, reason) => api.send('POST', `/admin/devices/${id}/decommission`, bodyOf(reason)),
);
const startMaintenance = change(
  (device) => `${device.serial_number} goes into maintenance: couriers and its owner are refused until it is back.`,
  (api, { id }, reason) => api.send('POST', `/admin/devices/${id}/maintenance`, bodyOf(reason)),
);
const endMaintenance = change(
  (device) => `${device.serial_number} comes back from maintenance.`,
  (api, { id }) => api.send('DELETE', `/admin/devices/${id}/maintenance`),
);
export const maintenance: typeof startMaintenance = (context, args, options) => (options.end === true ? endMaintenance(context, args, { ...options, yes: true }) : startMaintenance(context, args, options));

export const acceptDeliveries = change(
  (device) => `Couriers may open ${device.serial_number}, whose old firmware cannot prove what it did.`,
  (api, { id }, reason) => api.send('POST', `/admin/devices/${id}/accept-deliveries`, bodyOf(reason)),
);
export const rotateKeys = change(
  (device) => `${device.serial_number} is given a new key. The old one ends when the box signs with the new one; until it is back, a moment later, it does not open.`,
  (api, { id }) => api.send('POST', `/admin/devices/${id}/rotate-keys`),
  ({ serial_number: serial }) => `Whether the box took it: loqey device history ${serial} --limit 5`,
);

interface Reprovisioned {
  readonly message: string;
  readonly provisioning: object;
}

export const reprovision: Job<[device: string], { reason: string; out?: string; yes?: true }> = async ({ terminal, remote }, [named], { reason, out, yes }) => {
  const api = await remote();
  const { id, serial_number: serial } = await theDevice(api, named);
  const impact = `Every key of ${serial} ends at once: it is offline, and does not open, until it is flashed anew.`;
  if (!(await agreed(terminal, impact, yes === true))) return remoteExit.usage;
  const target = out === undefined ? undefined : await newSecretFile(out);
  try {
    const { message, provisioning } = await api.send<Reprovisioned>('POST', `/admin/devices/${id}/reprovision`, { reason });
    await target?.write(`${JSON.stringify(provisioning, null, 2)}\n`);
    terminal.event('reprovisioned', { id, serial_number: serial, message, ...(out === undefined ? { provisioning } : { file: out }) });
    if (!terminal.json) terminal.out(out === undefined ? JSON.stringify(provisioning, null, 2) : message);
    terminal.say(out === undefined ? `${message}. This is what it is flashed with, and it is not shown again.` : `What it is flashed with is in ${out}. It is not shown again.`);
    return 0;
  } finally {
    await target?.close();
  }
};

interface Checked {
  readonly is_online: boolean;
  readonly last_heartbeat: string | null;
  readonly went_offline: boolean;
}

export const check: Job<[device: string]> = async ({ terminal, remote }, [named]) => {
  const api = await remote();
  const { id, serial_number: serial } = await theDevice(api, named);
  const found = await api.send<Checked>('POST', `/admin/devices/${id}/check`);
  terminal.event('checked', { serial_number: serial, ...found });
  const heard = found.last_heartbeat === null ? 'has never been heard of' : `was heard of ${ago(found.last_heartbeat)}`;
  if (!terminal.json) terminal.out(`${serial} is ${found.is_online ? 'online' : 'offline'}: it ${heard}`);
  if (found.went_offline) terminal.say('That it is offline was found out now, and is recorded.');
  return 0;
};

/** By serial number, by id, or by the beginning of either where that is one box alone. */
export async function theDevice(api: Remote, named: string): Promise<Device> {
  const { rows } = await api.list<Device>('/admin/devices', { search: named, limit: 20 });
  const asked = named.toLowerCase();
  const exact = rows.find((row) => row.serial_number.toLowerCase() === asked || row.id === asked);
  if (exact !== undefined) return exact;
  const begins = rows.filter((row) => row.serial_number.toLowerCase().startsWith(asked) || row.id.startsWith(asked));
  if (begins.length === 1) return begins[0] as Device;
  if (begins.length === 0) throw new RemoteFailure(remoteExit.notFound, `There is no box ${named}.`, [`Look for it: loqey device list --search ${named}`]);
  throw new RemoteFailure(remoteExit.usage, `${named} is the beginning of ${begins.length} boxes: ${begins.slice(0, 5).map((row) => row.serial_number).join(', ')}${begins.length > 5 ? ', …' : ''}.`);
}
