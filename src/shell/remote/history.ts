import { table, type Terminal } from '../terminal.ts';
import { RemoteFailure, remoteExit, type Query, type Remote } from './client.ts';
import type { Job } from './command.ts';
import { theDevice } from './devices.ts';
import { theUser } from './users.ts';
import { details, moment } from './words.ts';

/** What was, when, and why: states of the past, each said to be past. */

interface EventRef {
  readonly type: string;
  readonly at: string;
  readonly actor: { readonly kind: string; readonly id: string };
  readonly position: string;
}

interface Past<State> {
  readonly past: true;
  readonly as_of: string;
  readonly ends_with: { readonly type: string; readonly at: string; readonly position: string };
  readonly owner_email?: string | null;
  readonly email?: string | null;
  readonly device_id?: string;
  readonly state: State;
}

interface DeviceThen {
  readonly serial_number: string;
  readonly lifecycle_status: string;
  readonly assignment: { readonly user_id: string; readonly assigned_at: string; readonly suspended: boolean } | null;
  readonly reported: { readonly lock_status: string; readonly lock_status_at: string | null; readonly online: boolean; readonly battery: number | null; readonly door_open: boolean | null; readonly firmware_version: string | null; readonly tampered: boolean };
  readonly unlocks: { readonly current: { readonly unlock_id: string; readonly phase: string } | null; readonly unknown: readonly string[] };
  readonly pin: { readonly expires_at: string; readonly void: boolean };
  readonly protocol: { readonly level: number };
  readonly keys: { readonly version: number; readonly rotating_to: number | null };
}

interface LinkThen {
  readonly link_id: string;
  readonly status: string;
  readonly uses: number;
  readonly max_uses: number;
  readonly expires_at: string;
  readonly starts_at: string | null;
  readonly used_at: string | null;
  readonly revoked_at: string | null;
  readonly require_identity: boolean;
  readonly window: { readonly time_zone: string; readonly days: readonly number[]; readonly from: string; readonly to: string } | null;
  readonly user_id: string;
}

interface UserThen {
  readonly user_id: string;
  readonly suspended: boolean;
  readonly erased: boolean;
  readonly email_verified: boolean;
  readonly profile_at: string;
  readonly admin: { readonly role: string; readonly permissions: readonly string[] } | null;
  readonly logins: { readonly wrong_in_a_row: number };
  readonly sessions: readonly { readonly scope: string }[];
}

interface DeliveryThen {
  readonly unlock_id: string;
  readonly status: string;
  readonly reason: string | null;
  readonly cause: { readonly kind: string; readonly id: string };
  readonly use_returned: boolean;
  readonly requested_at: string;
  readonly dispatched_at: string | null;
  readonly published_at: string | null;
  readonly acknowledged_at: string | null;
  readonly opened_at: string | null;
  readonly ended_at: string | null;
}

const AGO = /^(\d{1,6})\s?(s|m|min|h|d)(?: ago)?$/i;
const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, min: 60, h: 3_600, d: 86_400 };
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const POSITION = /^[\w-]{32}$/;

/**
 * What a person writes for a moment, as the API takes it: an ISO time, `2026-11-21 14:02` in UTC, a date (its midnight), `10m`
 * (ago), or a position of the log.
 */
export function momentOf(text: string, nowMs = Date.now()): string {
  const ago = AGO.exec(text);
  if (ago !== null) return new Date(nowMs - Number(ago[1]) * 1_000 * (SECONDS[(ago[2] ?? '').toLowerCase()] ?? 0)).toISOString();
  if (POSITION.test(text)) return text;
  const parts = /^(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)(Z|[+-]\d{2}:?\d{2})?)?$/i.exec(text);
  const time = parts === null ? undefined : `${parts[1]}T${parts[2] ?? '00:00'}${parts[3] ?? 'Z'}`;
  if (time === undefined || Number.isNaN(Date.parse(time))) {
    throw new RemoteFailure(remoteExit.usage, `${text} is no moment.`, ['A time in UTC: 2026-11-21T14:02:11Z or "2026-11-21 14:02"', 'So long ago: 10m, 2h, 3d', 'A position of the log, as the audit log shows it: loqey audit list --json']);
  }
  return new Date(time).toISOString();
}

/** A thing that the audit log knows by its id, or by the beginning of it where that is one thing alone. */
export async function theId(api: Remote, named: string, member: 'link_id' | 'unlock_id', type: string, what: string): Promise<string> {
  const asked = named.toLowerCase();
  if (UUID.test(asked)) return asked;
  if (!/^[0-9a-f-]{4,}$/.test(asked)) throw new RemoteFailure(remoteExit.usage, `${named} is no id of ${what}, nor the beginning of one.`, [`They are in the audit log: loqey audit list --type ${type}`]);
  const { rows } = await api.list<Readonly<Record<typeof member, string | null>>>('/admin/logs/audit', { type, limit: 1_000 });
  const found = [...new Set(rows.flatMap((row) => (row[member]?.startsWith(asked) === true ? [row[member]] : [])))];
  if (found.length === 1) return found[0] as string;
  if (found.length === 0) throw new RemoteFailure(remoteExit.notFound, `None of the last 1,000 ${plural(what)} begins with ${named}.`, [`They are in the audit log: loqey audit list --type ${type}`]);
  throw new RemoteFailure(remoteExit.usage, `${named} is the beginning of ${found.length} ids: ${found.slice(0, 3).join(', ')}${found.length > 3 ? ', …' : ''}.`);
}

const plural = (what: string) => `${what.replace(/^an? /, '')}s`;
export const theUnlock = (api: Remote, named: string) => theId(api, named, 'unlock_id', 'UnlockRequested', 'an opening');
const theLink = (api: Remote, named: string) => theId(api, named, 'link_id', 'LinkCreated', 'a link');

const asOf = (at: string | undefined): Query => ({ as_of: at === undefined ? undefined : momentOf(at) });

type Row = readonly [name: string, value: string | number | null | undefined];

/** The past is never taken for now: its first line says when it was. */
function show(terminal: Terminal, event: string, name: string, past: Past<unknown>, rows: readonly Row[]): number {
  terminal.event(event, { ...past });
  if (terminal.json) return 0;
  const { paint } = terminal;
  terminal.out(`${paint.bold(name)}   ${paint.yellow(`as it was at ${moment(past.as_of)} UTC`)}`);
  terminal.out(details([...rows, ['Last event', `${past.ends_with.type}, ${moment(past.ends_with.at)}`], ['Position', past.ends_with.position]]));
  return 0;
}

const yesNo = (value: boolean | null): string => (value === null ? '-' : value ? 'yes' : 'no');

export interface AtOption {
  readonly at?: string;
}

export const deviceThen: Job<[device: string], AtOption> = async ({ terminal, remote }, [named], { at }) => {
  const api = await remote();
  const query = asOf(at);
  const { id } = await theDevice(api, named);
  const past = await api.get<Past<DeviceThen>>(`/admin/devices/${id}/state`, query);
  const { state } = past;
  const { reported, assignment, unlocks } = state;
  return show(terminal, 'device', state.serial_number, past, [
    ['State', `lock: ${reported.lock_status}${reported.lock_status_at === null ? '' : `, as it said ${moment(reported.lock_status_at)}`}`],
    ['Lifecycle', state.lifecycle_status],
    ['Owner', assignment === null ? null : `${past.owner_email ?? assignment.user_id}, since ${moment(assignment.assigned_at)}${assignment.suspended ? ', suspended' : ''}`],
    ['Online', yesNo(reported.online)],
    ['Door open', yesNo(reported.door_open)],
    ['Battery', reported.battery === null ? null : `${reported.battery} %`],
    ['Firmware', reported.firmware_version],
    ...(reported.tampered ? [['Tampered', 'yes'] as const] : []),
    ['Opening', unlocks.current === null ? 'none under way' : `${unlocks.current.phase}: ${unlocks.current.unlock_id}`],
    ...(unlocks.unknown.length === 0 ? [] : [['Not known', `${unlocks.unknown.length} openings`] as const]),
    ['PIN', state.pin.void ? 'void' : `good until ${moment(state.pin.expires_at)}`],
    ['Protocol', `level ${state.protocol.level}`],
    ['Key', `version ${state.keys.version}${state.keys.rotating_to === null ? '' : `, being given ${state.keys.rotating_to}`}`],
    ['Id', id],
  ]);
};

export const userThen: Job<[user: string], AtOption> = async ({ terminal, remote }, [named], { at }) => {
  const api = await remote();
  const query = asOf(at);
  const { id } = await theUser(api, named);
  const past = await api.get<Past<UserThen>>(`/admin/users/${id}/state`, query);
  const { state } = past;
  return show(terminal, 'user', past.email ?? id, past, [
    ['State', state.erased ? 'erased' : state.suspended ? 'suspended' : 'active'],
    ['Role', state.admin === null ? null : [state.admin.role, ...state.admin.permissions].join(', ')],
    ['Address proved', yesNo(state.email_verified)],
    ['Profile since', moment(state.profile_at)],
    ['Sessions', state.sessions.length],
    ['Wrong passwords', `${state.logins.wrong_in_a_row} in a row`],
    ['Id', id],
  ]);
};

export const link: Job<[link: string], AtOption> = async ({ terminal, remote }, [named], { at }) => {
  const api = await remote();
  const query = asOf(at);
  const id = await theLink(api, named);
  const past = await api.get<Past<LinkThen>>(`/admin/links/${id}/state`, query);
  const { state } = past;
  return show(terminal, 'link', `Link ${id}`, past, [
    ['State', state.status],
    ['Used', `${state.uses} of ${state.max_uses}${state.used_at === null ? '' : `, last ${moment(state.used_at)}`}`],
    ['From', state.starts_at === null ? 'at once' : moment(state.starts_at)],
    ['Until', moment(state.expires_at)],
    ...(state.revoked_at === null ? [] : [['Ended', moment(state.revoked_at)] as const]),
    ...(state.window === null ? [] : [['Hours', `${state.window.from}–${state.window.to} ${state.window.time_zone}, days ${state.window.days.join(' ')}`] as const]),
    ['Asks who it is', yesNo(state.require_identity)],
    ['Owner', past.owner_email ?? state.user_id],
    ['Box', past.device_id],
  ]);
};

export const delivery: Job<[delivery: string], AtOption> = async ({ terminal, remote }, [named], { at }) => {
  const api = await remote();
  const query = asOf(at);
  const id = await theUnlock(api, named);
  const past = await api.get<Past<DeliveryThen>>(`/admin/deliveries/${id}/state`, query);
  const { state } = past;
  return show(terminal, 'delivery', `Opening ${id}`, past, [
    ['State', state.reason === null ? state.status : `${state.status}: ${state.reason}`],
    ['Asked by', `${state.cause.kind} ${state.cause.id}`],
    ['Asked', moment(state.requested_at)],
    ['Sent', moment(state.dispatched_at)],
    ['With the broker', moment(state.published_at)],
    ['Taken by the box', moment(state.acknowledged_at)],
    ['Bolt moved', moment(state.opened_at)],
    ['Ended', moment(state.ended_at)],
    ['Use', state.use_returned ? 'came back' : 'counted'],
    ['Box', past.device_id],
  ]);
};

interface Point {
  readonly as_of: string;
  readonly exists: boolean;
}

interface Difference {
  readonly from: Point;
  readonly to: Point;
  readonly changes: readonly { readonly path: string; readonly before: unknown; readonly after: unknown; readonly event: EventRef | null }[];
}

export interface BetweenOptions {
  readonly from: string;
  readonly to?: string;
}

async function difference(terminal: Terminal, api: Remote, name: string, path: string, { from, to }: BetweenOptions): Promise<number> {
  const found = await api.get<Difference>(`${path}/diff`, { from: momentOf(from), to: to === undefined ? undefined : momentOf(to) });
  terminal.event('difference', { ...found });
  if (terminal.json) return 0;
  const { paint } = terminal;
  terminal.out(`${paint.bold(name)}   ${paint.yellow(`from ${found.from.exists ? moment(found.from.as_of) : 'nothing'} to ${moment(found.to.as_of)} UTC`)}`);
  if (found.changes.length > 0) {
    const cells = found.changes.map(({ path: fact, before, after, event }) => [fact.slice(1), valueOf(before), valueOf(after), event?.type ?? 'time passed', event === null ? '-' : moment(event.at)]);
    terminal.out(table(['FACT', 'WAS', 'IS', 'BY', 'WHEN (UTC)'], cells, { columns: terminal.columns, flexible: [1, 2], lastly: [0, 3] }));
  }
  terminal.say(found.changes.length === 0 ? 'Nothing changed.' : `${found.changes.length} ${found.changes.length === 1 ? 'fact' : 'facts'} changed`);
  return 0;
}

function valueOf(value: unknown): string {
  if (value === null) return '-';
  if (typeof value === 'string') return /^\d{4}-\d{2}-\d{2}T.*Z$/.test(value) ? moment(value) : value;
  return JSON.stringify(value);
}

export const deviceDiff: Job<[device: string], BetweenOptions> = async ({ terminal, remote }, [named], options) => {
  const api = await remote();
  const { id, serial_number: serial } = await theDevice(api, named);
  return difference(terminal, api, serial, `/admin/devices/${id}`, options);
};
export const userDiff: Job<[user: string], BetweenOptions> = async ({ terminal, remote }, [named], options) => {
  const api = await remote();
  const { id, email } = await theUser(api, named);
  return difference(terminal, api, email ?? id, `/admin/users/${id}`, options);
};
export const linkDiff: Job<[link: string], BetweenOptions> = async ({ terminal, remote }, [named], options) => {
  const api = await remote();
  const id = await theLink(api, named);
  return difference(terminal, api, `Link ${id}`, `/admin/links/${id}`, options);
};
export const deliveryDiff: Job<[delivery: string], BetweenOptions> = async ({ terminal, remote }, [named], options) => {
  const api = await remote();
  const id = await theUnlock(api, named);
  return difference(terminal, api, `Opening ${id}`, `/admin/deliveries/${id}`, options);
};

interface Why {
  readonly as_of: string;
  readonly outcome: 'allowed' | 'joined' | 'refused';
  readonly reason: string | null;
  readonly message: string;
  readonly asked_by: { readonly kind: string; readonly id: string };
  readonly decided_by: { readonly event: EventRef; readonly before: string } | null;
  readonly facts: readonly { readonly path: string; readonly value: unknown; readonly event: EventRef | null }[];
  readonly recorded: { readonly outcome: string; readonly reason: string | null; readonly agrees: boolean } | null;
  readonly assumed: readonly string[];
}

/** Whose a box is that has no owner. */
const NOBODY = '00000000-0000-0000-0000-000000000000';

async function explain(terminal: Terminal, api: Remote, name: string, path: string, query: Query = {}): Promise<number> {
  const found = await api.get<Why>(path, query);
  terminal.event('why', { ...found });
  if (terminal.json) return 0;
  const { paint } = terminal;
  const { outcome, reason, message, decided_by: decided, facts, recorded, assumed, asked_by: asker } = found;
  terminal.out(`${paint.bold(name)}   ${paint.yellow(`at ${moment(found.as_of)} UTC`)}`);
  terminal.out(asker.id === NOBODY ? `asked for its owner: it had none` : `asked by ${asker.kind} ${asker.id}`);
  const mark = outcome === 'refused' ? paint.red('✖ refused') : paint.green(`✔ ${outcome}`);
  terminal.out(`${mark}: ${message}${reason === null ? '' : ` (${reason})`}`);
  if (decided === null) terminal.out('  No event decided this: it was always so, or there was nothing to decide on.');
  else terminal.out(`  since ${moment(decided.event.at)} by ${decided.event.type}, ${decided.event.actor.kind} ${decided.event.actor.id}\n  before that event: ${decided.before}`);
  if (recorded !== null) {
    terminal.out(`  recorded: ${recorded.outcome}${recorded.reason === null ? '' : ` (${recorded.reason})`}${recorded.agrees ? ', and the rules agree' : paint.red('; the rules, asked again, say otherwise')}`);
  }
  if (facts.length > 0) {
    const cells = facts.map(({ path: fact, value, event }) => [fact.slice(1), valueOf(value), event?.type ?? '-', event === null ? '-' : moment(event.at)]);
    terminal.out(`\n${table(['IT LOOKED AT', 'WHICH WAS', 'BY', 'SINCE (UTC)'], cells, { columns: terminal.columns, flexible: [1], lastly: [2, 0] })}`);
  }
  for (const each of assumed) terminal.say(`Taken to be so: ${each}`);
  return 0;
}

export const whyDevice: Job<[device: string], AtOption & { readonly user?: string }> = async ({ terminal, remote }, [named], { at, user }) => {
  const api = await remote();
  const query = asOf(at);
  const { id, serial_number: serial } = await theDevice(api, named);
  return explain(terminal, api, serial, `/admin/devices/${id}/why`, { ...query, user_id: user === undefined ? undefined : (await theUser(api, user)).id });
};
export const whyLink: Job<[link: string], AtOption> = async ({ terminal, remote }, [named], { at }) => {
  const api = await remote();
  const query = asOf(at);
  const id = await theLink(api, named);
  return explain(terminal, api, `Link ${id}`, `/admin/links/${id}/why`, query);
};

/** An opening by its id; a refused request by its position in the audit log, or by the request that its answer named. */
export const whyUnlock: Job<[unlock: string]> = async ({ terminal, remote }, [named]) => {
  const api = await remote();
  const { path, name } = await openingOrRefusal(api, named);
  return explain(terminal, api, name, `${path}/why`);
};

interface Entry {
  readonly type: string;
  readonly unlock_id: string | null;
  readonly position: string;
}

const HEX = /^[0-9a-f]{32}$/i;

/** Where the API has what a person means. */
export async function openingOrRefusal(api: Remote, named: string): Promise<{ readonly path: string; readonly name: string }> {
  const unlock = (id: string) => ({ path: `/admin/unlocks/${id}`, name: `Opening ${id}` });
  const refusal = (position: string) => ({ path: `/admin/refusals/${position}`, name: 'Refused request' });
  // The request that an answer names has the same length as a position, and other signs.
  const request = HEX.test(named) ? named.toLowerCase().replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5') : undefined;
  if (request === undefined && POSITION.test(named)) return refusal(named);
  if (request === undefined && !UUID.test(named)) return unlock(await theUnlock(api, named));
  const { rows } = await api.list<Entry>('/admin/logs/audit', { correlation_id: request ?? named, limit: 100 });
  const asked = rows.find(({ type }) => type === 'UnlockRequested');
  if (asked?.unlock_id != null) return unlock(asked.unlock_id);
  const refused = rows.find(({ type }) => type === 'CommandRefused');
  if (refused !== undefined) return refusal(refused.position);
  if (request !== undefined) throw new RemoteFailure(remoteExit.notFound, `Nothing is known of a request ${named}.`);
  return unlock(named.toLowerCase());
}
