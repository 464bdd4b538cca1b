import { createPublicKey, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { HEADS_FILE, PUBLIC_KEY_FILE, readHeads } from '../src/audit/head-file.ts';
import type { SignedHead } from '../src/audit/heads.ts';
import { verifyLog } from '../src/audit/verify.ts';
import { createProjectionAdmin } from '../src/projections/admin.ts';
import { canonicalHash } from '../src/projections/canonical.ts';
import { projections } from '../src/projections/registry.ts';
import { withLocal } from '../src/shell/local.ts';
import { createClient } from '../test/support/api-client.ts';
import { until } from '../test/support/until.ts';
import { historyOf, type History } from './history.ts';
import { readLog, signInAgain } from './liveness.ts';
import { send, unlockOf, type Asked, type Box, type Model } from './model.ts';
import type { Crew } from './people.ts';
import { query, type World } from './world.ts';

/** What must be true whenever everything has come to rest, whatever happened before. */
export interface Invariant {
  readonly id: string;
  readonly text: string;
  /** Answers what is not so. */
  readonly check: (state: State) => Promise<readonly string[]> | readonly string[];
}

export interface State {
  readonly world: World;
  readonly model: Model;
  readonly crew: Crew;
  readonly history: History;
  /** Signed before the log was read: whatever came after them is in it too. */
  readonly heads: readonly SignedHead[];
}

/** A movement may begin so long after `expires_at` at most (device protocol, section 13). */
const LATE_MS = 1_500;

export const invariants: readonly Invariant[] = [
  {
    id: 'I1',
    text: 'what was answered with 2xx is in the log exactly once, as it was asked for',
    check({ model }) {
      const made = countBy(model.log.filter(({ type }) => type === 'LinkCreated'), ({ data }) => data['linkId'] as string);
      const requested = countBy(model.log.filter(({ type }) => type === 'UnlockRequested'), ({ data }) => data['unlockId'] as string);
      const revoked = countBy(model.log.filter(({ type }) => type === 'LinkRevoked' || type === 'OwnerSuspended' || type === 'DeviceUnlinked'), ({ data }) => (data['linkId'] as string | undefined) ?? '');
      return [
        ...answered(model, 'create').flatMap(({ answer, maxUses, deviceId }) => {
          const id = answer!.body['id'] as string;
          const event = model.log.find(({ type, data }) => type === 'LinkCreated' && data['linkId'] === id);
          if (made.get(id) !== 1) return [`the link ${id} is in the log ${made.get(id) ?? 0} times`];
          return event?.data['maxUses'] === maxUses && event?.stream === `device-${deviceId}` ? [] : [`the link ${id} is not in the log as it was asked for`];
        }),
        ...(['courier', 'owner', 'emergency'] as const).flatMap((kind) =>
          answered(model, kind).flatMap((asked) => {
            const id = unlockOf(asked);
            return id !== undefined && requested.get(id) === 1 ? [] : [`the opening ${id} (${asked.path}, answered ${asked.answer!.status}) is in the log ${requested.get(id ?? '') ?? 0} times`];
          }),
        ),
        ...answered(model, 'revoke').flatMap(({ linkId = '' }) => ((revoked.get(linkId) ?? 0) <= 1 ? [] : [`the revocation of ${linkId} is in the log ${revoked.get(linkId)} times`])),
      ];
    },
  },
  {
    id: 'I2',
    text: 'a bolt moved only for a command that was dispatched, once for each, in time; who was told "opened" stands before an open box',
    check({ model, history }) {
      return [
        ...history.wrong,
        ...model.boxes.flatMap((box) => {
          const moved = commandMovements(model, box);
          return [
            ...moved.flatMap(({ commandId, at }) => {
              const unlock = history.unlocks.get(commandId);
              if (unlock?.dispatched === undefined) return [`${box.deviceId} moved its bolt for ${commandId}, which was never dispatched`];
              const late = at - unlock.expiresAt;
              return late <= LATE_MS ? [] : [`${box.deviceId} moved its bolt for ${commandId} ${late} ms after its end`];
            }),
            // The motor may try twice: a bolt that stuck half way and then arrived moved once.
            ...duplicates(commandMovements({ forgotten: new Set() }, box).filter(({ arrived }) => arrived).map(({ commandId }) => commandId)).map((id) => `${box.deviceId} moved its bolt twice for ${id}`),
            ...duplicates(box.opened).map((id) => `${box.deviceId} carried ${id} out twice`),
          ];
        }),
        ...answered(model, 'courier', 200).flatMap((asked) => (deedsOf(model).has(unlockOf(asked) ?? '') ? [] : [`a courier was told that ${unlockOf(asked)} opened a box that did not open`])),
        ...[...history.unlocks.values()].filter(({ opened, id }) => opened && !deedsOf(model).has(id)).map(({ id }) => `${id} is opened in the log, and no box opened`),
      ];
    },
  },
  {
    id: 'I3',
    text: 'no link opened more often than it may; a use came back only where no bolt moved; what is shown is what was used',
    async check({ model, history, world }) {
      const moved = new Set(model.boxes.flatMap((box) => commandMovements(model, box).map(({ commandId }) => commandId)));
      const found = [...history.unlocks.values()].filter(({ id, returned }) => returned && moved.has(id)).map(({ id, end }) => `the bolt moved for ${id}, and its use came back by ${end?.type}`);
      const openings = countBy([...history.unlocks.values()].filter(({ id }) => moved.has(id)), ({ cause }) => cause.id);
      for (const link of history.links.values()) {
        if ((openings.get(link.id) ?? 0) > link.maxUses) found.push(`the link ${link.id} for ${link.maxUses} opened ${openings.get(link.id)} times`);
      }
      for (const owner of model.owners) {
        const shown = await everyPage<{ readonly id: string; readonly current_uses: number; readonly max_uses: number }>(world.url, owner.token, '/access/my-links');
        for (const { id, current_uses: uses, max_uses: most } of shown) {
          const link = history.links.get(id);
          if (link === undefined || uses !== link.uses || most !== link.maxUses) found.push(`the link ${id} is shown with ${uses} of ${most} uses instead of ${link?.uses} of ${link?.maxUses}`);
        }
        const missing = model.links.filter((link) => link.owner === owner && !shown.some(({ id }) => id === link.id));
        found.push(...missing.map(({ id }) => `the link ${id} is not shown to who made it`));
      }
      return found;
    },
  },
  {
    id: 'I4',
    text: 'nothing opens after an answered revocation, unlink or suspension, but what that answer named',
    check({ model, history }) {
      return model.boxes.flatMap((box) =>
        commandMovements(model, box).flatMap(({ commandId, at }) => {
          const cause = history.unlocks.get(commandId)?.cause;
          const ended = model.asked.filter(
            ({ kind, linkId, deviceId, answer, answeredAt }) =>
              answer?.status === 200 && answeredAt < at && ((kind === 'revoke' && linkId === cause?.id) || (kind === 'unlink' && deviceId === box.deviceId && grantedBefore(history, commandId, answeredAt))),
          );
          return ended
            .filter(({ answer }) => (answer?.body['in_flight'] as { readonly command_id?: string } | undefined)?.command_id !== commandId)
            .map(({ path }) => `${box.deviceId} moved its bolt for ${commandId} after ${path} was answered without naming it`);
        }),
      );
    },
  },
  {
    id: 'I5',
    text: 'every read model is what a fold of the log makes of it',
    check: foldAgain,
  },
  {
    id: 'I6',
    text: 'streams are without gaps, positions grow, each event is there once, and what caused it is known',
    check({ model: { log } }) {
      const next = new Map<string, bigint>();
      const found: string[] = [];
      let before = -1n;
      for (const { stream, revision, position } of log) {
        if (revision !== (next.get(stream) ?? 0n)) found.push(`${stream} goes on with ${revision} instead of ${next.get(stream) ?? 0n}`);
        next.set(stream, revision + 1n);
        if (position <= before) found.push(`position ${position} comes after ${before}`);
        before = position;
      }
      for (const { metadata, type, position } of log) if (!metadata.commandId || !metadata.correlationId || !metadata.causationId) found.push(`${type} at ${position} does not say where it came from`);
      return [...found, ...duplicates(log.map(({ eventId }) => eventId)).map((id) => `the event ${id} is there twice`)];
    },
  },
  {
    id: 'I7',
    text: 'every read model runs and stands at the end of the log',
    async check({ world, model }) {
      const rows = await query<{ name: string; state: string; position: string; error: unknown }>(await world.databaseUrl(), 'SELECT name, state, position::text, error FROM work.projections');
      const end = model.log.at(-1)?.position ?? 0n;
      return rows.flatMap(({ name, state, position, error }) => (state === 'running' && BigInt(position) >= end ? [] : [`${name} is ${state} at ${position}, the log ends at ${end}: ${JSON.stringify(error)}`]));
    },
  },
  {
    id: 'I8',
    text: 'the log is what every signed head says it was, also those of earlier',
    async check({ world, model, heads }) {
      if (heads.length === 0) return [];
      const [genesis] = model.log.filter(({ stream }) => stream === 'system-log');
      const logId = (genesis?.data['logId'] ?? '') as string;
      async function* events() {
        yield* model.log;
      }
      const { finding } = await verifyLog({ events: events(), logId, heads, publicKeys: [createPublicKey(readFileSync(join(world.headFolder, PUBLIC_KEY_FILE)))] });
      return finding === undefined ? [] : [`the log is not what was signed: ${JSON.stringify(finding, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value))}`];
    },
  },
  {
    id: 'I9',
    text: 'a key has one outcome, however often it is asked with',
    async check({ model, world }) {
      const accepted = model.asked.filter((asked) => asked.answer !== undefined && asked.answer.status < 300).slice(-6);
      const found = await Promise.all(
        accepted.map(async (asked) => {
          const again = await send(world.url, asked);
          // A token that ended meanwhile is no outcome.
          if (again === undefined || again.status === 401 || again.status === 403) return [];
          const same = (name: string) => asked.answer!.body[name] === undefined || again.body[name] === undefined || again.body[name] === asked.answer!.body[name];
          return same('id') && same('command_id') && same('new_pin') ? [] : [`${asked.path} answered ${JSON.stringify(again.body)} after ${JSON.stringify(asked.answer!.body)}`];
        }),
      );
      return found.flat();
    },
  },
  {
    id: 'I10',
    text: 'every report that was acknowledged is stored, or recorded as one more than a box may say in a second',
    async check({ world, model }) {
      const found: string[] = [];
      const url = await world.databaseUrl();
      for (const box of model.boxes) {
        // Before the database is asked: boxes go on talking.
        const [acked, puback] = [[...box.acked], world.durablePuback ? [...box.puback.keys()] : []];
        const rows = await query<{ report_seq: string }>(url, 'SELECT report_seq::text FROM work.telemetry WHERE device_id = $1', [box.deviceId]);
        // A PUBACK says that the broker has it; what must arrive is repeated until the server's own acknowledgement.
        // Of those beyond the box's rate the newest are shown, among all that was rejected; and all are counted.
        const tooMany = await query<{ report_seq: string }>(url, `SELECT substring(sample FROM '"report_seq":([0-9]+)') AS report_seq FROM work.rejected_reports WHERE device_id = $1 AND problem = 'rate'`, [box.deviceId]);
        const [counted] = await query<{ messages: string }>(url, `SELECT messages::text FROM work.rejected_counts WHERE device_id = $1 AND problem = 'rate'`, [box.deviceId]);
        const stored = new Set(rows.map(({ report_seq: seq }) => Number(seq)));
        const known = new Set([...rows, ...tooMany].map(({ report_seq: seq }) => Number(seq)));
        const gone = puback.filter((seq) => !known.has(seq));
        const lost = [...acked.filter((seq) => !stored.has(seq)), ...(gone.length > Number(counted?.messages ?? 0) - tooMany.length ? gone : [])];
        if (lost.length > 0) found.push(`${box.deviceId}: ${lost.length} acknowledged reports are not stored, the first: ${box.puback.get(lost[0]!) ?? lost[0]}`);
      }
      return found;
    },
  },
  {
    id: 'I11',
    text: 'no password, key, token or name is in the log or in a file of the program',
    check({ world, model }) {
      const places = [
        ...world.logFiles().filter((path) => statSync(path).isFile()).map((path) => [path, readFileSync(path, 'utf8')] as const),
        ['the log of events', JSON.stringify(model.log.map(({ data, metadata }) => [data, metadata]))] as const,
      ];
      return places.flatMap(([place, text]) => model.canaries.filter((canary) => text.includes(canary.text)).map(({ what, text: leaked }) => `${what} (${leaked}) is in ${place}`));
    },
  },
  {
    id: 'I12',
    text: 'a refusal of somebody known is in the audit log',
    async check({ world, model, crew }) {
      // One that is made for this: with a link of its own it is not one of many, which are counted together.
      const [box] = model.boxes;
      let owner = createClient(world.url, box!.owner.token);
      let refused: unknown;
      // An owner who was suspended and active again a moment ago: the boxes hear of it after the account.
      const { id, link_id: token } = await until(
        'a link to be made',
        async () => {
          await signInAgain(world, model);
          owner = createClient(world.url, box!.owner.token);
          return owner.post<{ id: string; link_id: string }>('/access/create-link', { device_id: box!.deviceId, max_uses: 1 }).catch((error: unknown) => void (refused = error));
        },
        15_000,
      ).catch((error: unknown) => {
        throw new Error(`${(error as Error).message}: ${String(refused)}`);
      });
      // A process that has just come back may say "try again" while its read models are behind.
      const ended = await until('the link to be ended', async () => (await owner.call('POST', `/access/links/${id}/deactivate`)).status !== 503, 15_000).catch((error: unknown) => (error as Error).message);
      if (ended !== true) return [`a link cannot be ended: ${ended}`];
      const key = randomUUID();
      const answer = await fetch(`${world.url}/api/v1/delivery/link/${token}/unlock`, { method: 'POST', headers: { 'idempotency-key': key }, signal: AbortSignal.timeout(10_000) });
      if (answer.status !== 422) return [`a tap on a link that was revoked a moment ago is answered ${answer.status}: ${await answer.text()}`];
      const recorded = await until(
        'the refusal in the log',
        async () => {
          await readLog(world, model);
          return model.log.some(({ type, data }) => type === 'CommandRefused' && (data['target'] as { readonly id?: string }).id === id);
        },
        15_000,
      ).catch((error: unknown) => (error as Error).message);
      const dropped = await figures(crew, world, 'loqey_refusals_dropped_total');
      return [...(recorded === true ? [] : [`the refusal of a tap on the link ${id} is not in the log 15 s after it was answered: ${recorded}`]), ...(dropped > 0 ? [`${dropped} refusals were dropped`] : [])];
    },
  },
  {
    id: 'I13',
    text: 'what sockets told adds up to what requests show',
    async check(state) {
      let different: readonly string[] = [];
      await until('sockets and requests to say the same', async () => (different = await unlikeTold(state)).length === 0, 15_000).catch(() => undefined);
      return different;
    },
  },
  {
    id: 'I15',
    text: 'connections, files, locks and memory are given back',
    async check({ world, crew }) {
      const url = await world.databaseUrl();
      const sessions = await query<{ application_name: string; what: string }>(
        url,
        `SELECT application_name, 'idle in a transaction' AS what FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%' AND state_change < now() - interval '5 seconds'
         UNION ALL SELECT a.application_name, 'waits for a lock' FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND l.waitstart < now() - interval '5 seconds'`,
      );
      const found = sessions.map(({ application_name: name, what }) => `a connection of ${name} ${what}`);
      const waiting = await figures(crew, world, 'loqey_unlock_requests_waiting');
      if (waiting > 0) found.push(`${waiting} requests wait at boxes that are free`);
      const sockets = await figures(crew, world, 'loqey_ws_open');
      if (sockets > crew.listeners.length) found.push(`${sockets} WebSockets are open, ${crew.listeners.length} have somebody at the other end`);
      for (const { name, pid } of world.roles) {
        if (pid === undefined || process.platform !== 'linux') continue;
        const now = { files: readdirSync(`/proc/${pid}/fd`).length, megabytes: residentMegabytes(pid) };
        const before = crew.baseline.get(pid) ?? now;
        crew.baseline.set(pid, before);
        // Pools may have filled up meanwhile, and crowds have come: what grows with each round passes any bound.
        if (now.files > before.files + MORE_FILES) found.push(`${name} has ${now.files} files and sockets open, ${before.files} at its first rest`);
        if (now.megabytes > before.megabytes + MORE_MEGABYTES) found.push(`${name} has ${now.megabytes} MB in memory, ${before.megabytes} at its first rest`);
      }
      return found;
    },
  },
];

// ── Parts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

const MORE_FILES = 150;
const MORE_MEGABYTES = 300;

function residentMegabytes(pid: number): number {
  return Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024);
}

/** The sum of a figure over all processes. */
async function figures({ admin }: Crew, { roles }: World, name: string): Promise<number> {
  const each = await Promise.all(
    roles.map(async ({ url }) => {
      const text = await (await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${admin.token}` }, signal: AbortSignal.timeout(10_000) })).text();
      return [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? ([0-9.e+]+)$`, 'gm'))].reduce((sum, [, value]) => sum + Number(value), 0);
    }),
  );
  return each.reduce((sum, value) => sum + value, 0);
}

/** Of boxes and links that a socket spoke of since they are their owner's. */
async function unlikeTold({ world: { url }, model: { boxes }, crew: { listeners }, history }: State): Promise<readonly string[]> {
  const found: string[] = [];
  for (const { owner, connected, boxes: told, links } of listeners) {
    if (!connected) found.push(`the socket of ${owner.userId} is not connected`);
    for (const { deviceId, claimedAt } of boxes.filter((box) => box.owner === owner)) {
      const heard = told.get(deviceId);
      if (heard === undefined || heard.at < claimedAt) continue;
      const shown = await createClient(url, owner.token).get<{ lock_status: string; is_online: boolean }>(`/devices/${deviceId}/status`);
      if (shown.lock_status !== heard.status || shown.is_online !== heard.online) found.push(`${deviceId} is ${heard.status}, ${heard.online ? 'online' : 'offline'} by the socket, ${JSON.stringify(shown)} by request`);
    }
    for (const { id, current_uses: uses, status } of await everyPage<{ id: string; current_uses: number; status: string }>(url, owner.token, '/access/my-links')) {
      const heard = links.get(id);
      // Of links that end all at once, those whose time was just over are shown as that: a socket says which ended, not each.
      const overBefore = history.links.get(id)?.void === true && heard?.status === 'revoked' && status === 'expired';
      if (heard !== undefined && (heard.uses !== uses || (heard.status !== status && !overBefore))) found.push(`the link ${id} is ${heard.status} with ${heard.uses} uses by the socket, ${status} with ${uses} by request`);
    }
  }
  return found;
}

function answered(model: Model, kind: Asked['kind'], status?: number): readonly Asked[] {
  return model.asked.filter((asked) => asked.kind === kind && asked.answer !== undefined && (status === undefined ? asked.answer.status < 300 : asked.answer.status === status));
}

/** Movements that a command began, also those that did not arrive. */
function commandMovements({ forgotten }: Pick<Model, 'forgotten'>, { lockbox }: Box): readonly { readonly at: number; readonly commandId: string; readonly arrived: boolean }[] {
  return lockbox.movements.flatMap(({ at, to, cause, commandId, arrived }) => (to === 'unlocked' && cause === 'command' && commandId !== undefined && !forgotten.has(commandId) ? [{ at, commandId, arrived }] : []));
}

/** What boxes did by commands, as their matter knows it: a bolt moved, or was open before. */
function deedsOf(model: Model): ReadonlySet<string> {
  return new Set(
    model.boxes.flatMap((box) => [...commandMovements(model, box).map(({ commandId }) => commandId), ...box.lockbox.foundOpen]),
  );
}

/** Whether an opening was requested before that moment: one of after it has its own right. */
function grantedBefore(history: History, id: string, at: number): boolean {
  const requested = history.unlocks.get(id)?.requested.metadata.occurredAt;
  return requested !== undefined && Date.parse(requested) < at;
}

/** The tables as they are, then as a rebuild makes them. What the boxes report meanwhile is waited for. */
async function foldAgain({ world }: State): Promise<readonly string[]> {
  return withLocal({ environ: await world.settings(), version: '0.0.0-chaos', mending: true }, async ({ ground, db, sealer }) => {
    const { store, logId, clock, logger } = ground;
    const all = projections({ sealer });
    const admin = createProjectionAdmin({ db, store, projections: all, logId, clock, logger });
    const hashes = async () => Object.fromEntries(await Promise.all(all.map(async (each) => [each.name, await canonicalHash(db, each)] as const)));
    for (let tries = 0; ; tries++) {
      const before = await store.head();
      await until('the read models to be at the end of the log', async () => (await admin.status()).projections.every(({ position = -1n }) => position >= (before ?? 0n)), 30_000);
      const live = await hashes();
      await admin.rebuild('all');
      const folded = await hashes();
      await admin.dropRetired('all');
      const different = all.flatMap(({ name }) =>
        Object.keys(folded[name]!).flatMap((table) => (live[name]![table] === folded[name]![table] ? [] : [`${name}.${table} is ${live[name]![table]}, a fold of the log makes ${folded[name]![table]}`])),
      );
      // What a box reported in between is no difference.
      if (different.length === 0 || (await store.head()) === before || tries >= 20) return different;
    }
  });
}

async function everyPage<T>(url: string, token: string, path: string): Promise<readonly T[]> {
  const all: T[] = [];
  for (;;) {
    const page = await createClient(url, token).get<T[]>(`${path}?limit=100&offset=${all.length}`);
    all.push(...page);
    if (page.length < 100) return all;
  }
}

function countBy<T>(items: readonly T[], key: (item: T) => string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(key(item), (counts.get(key(item)) ?? 0) + 1);
  return counts;
}

function duplicates(items: readonly string[]): readonly string[] {
  const seen = new Set<string>();
  return [...new Set(items.filter((item) => seen.has(item) || !seen.add(item)))];
}

/** Reads what is new in the log. */
export async function stateOf(world: World, model: Model, crew: Crew): Promise<State> {
  const file = join(world.headFolder, HEADS_FILE);
  const heads = existsSync(file) ? await readHeads(file) : [];
  await readLog(world, model);
  return { world, model, crew, history: historyOf(model.log), heads };
}

