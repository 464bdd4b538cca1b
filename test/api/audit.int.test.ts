import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { readCsv } from '../../src/api/csv.ts';
import { EventStoreUnavailable } from '../../src/platform/event-store/port.ts';
import { newId } from '../../src/platform/ids.ts';
import type { AuditRow } from '../../src/projections/read-models.ts';
import { soon, startApi, World, type TestApi } from '../support/api.ts';

let api: TestApi;
let admin: { readonly token: string; readonly userId: string; readonly sessionId: string };
const opened: Tail[] = [];

beforeEach(async () => {
  api = await startApi();
  admin = api.signIn({ adminRole: 'support' });
});
afterEach(async () => {
  for (const { ws } of opened.splice(0)) ws.terminate();
  await api.stop();
});

let positions = 10n;

function happened(over: Partial<AuditRow> = {}): AuditRow {
  const id = newId();
  const row: AuditRow = {
    position: ++positions, eventId: id, type: 'LinkCreated', summary: 'Ana Smith created the link “Parcel” to LB-004471', action: 'link_created', outcome: 'accepted',
    actorKind: 'user', actorId: newId(), actorEmail: 'ana@example.com', actorName: 'Ana Smith', ip: '203.0.113.7', userAgent: 'curl/8', source: 'mobile_app',
    deviceId: newId(), serialNumber: 'LB-004471', linkId: newId(), linkName: 'Parcel', userId: null, userName: null, unlockId: null, courierName: null,
    occurredAt: '2026-11-21T09:59:58.000Z', recordedAt: '2026-11-21T09:59:58.001Z', commandId: id, correlationId: id, causationId: id, stream: 'device-x', revision: 3n,
    data: { maxUses: 1 },
    ...over,
  };
  api.world.audit.unshift(row);
  return row;
}

const ask = (path: string, token: string | undefined = admin.token) => api.ask('GET', `/api/v1/admin/logs/audit${path}`, { token });

describe('one entry', () => {
  it('comes with what led to it and all that came of the same request', async () => {
    const correlationId = newId();
    const asked = happened({ type: 'UnlockRequested', correlationId });
    const sent = happened({ type: 'UnlockDispatched', correlationId, causationId: asked.commandId });
    const done = happened({ type: 'UnlockConfirmed', correlationId, causationId: sent.eventId });
    const other = happened();
    api.world.audit.sort((a, b) => Number(a.position - b.position));
    const { status, body } = await ask(`/${done.eventId}`);
    expect(status).toBe(200);
    const types = (rows: { type: string }[]) => rows.map(({ type }) => type);
    const answer = body as { entry: { event_id: string; summary: string }; causes: { type: string }[]; chain: { type: string }[] };
    expect(answer.entry).toMatchObject({ event_id: done.eventId, summary: done.summary });
    expect(types(answer.causes)).toEqual(['UnlockRequested', 'UnlockDispatched']);
    expect(types(answer.chain)).toEqual(['UnlockRequested', 'UnlockDispatched', 'UnlockConfirmed']);
    expect(((await ask(`/${other.eventId}`)).body as { causes: unknown[] }).causes).toEqual([]);
  });

  it('is missing, badly named, or not for everyone', async () => {
    expect(await ask(`/${newId()}`)).toMatchObject({ status: 404, body: { error: 'not_found', message: 'Audit entry not found' } });
    expect(await ask('/nonsense')).toMatchObject({ status: 400, body: { details: { event_id: expect.any(String) } } });
    expect((await ask(`/${newId()}`, api.signIn().token)).status).toBe(403);
  });
});

describe('a search', () => {
  it('is passed on, and says where it was not complete', async () => {
    happened();
    expect((await ask('?q=parcel%20ana&outcome=refused')).headers.get('loqey-search')).toBeNull();
    expect(api.world.auditAsked.at(-1)).toMatchObject({ q: 'parcel ana', outcome: 'refused' });
    const { headers } = await ask('?q=everybody');
    expect([headers.get('loqey-search'), headers.get('loqey-count')]).toEqual(['partial', 'at_least']);
    const told = ['partial', '2026-11-02T10:00:00.000Z'];
    for (const path of ['?q=old', '/export?format=csv&q=old']) {
      const { headers: some } = await ask(path);
      expect([some.get('loqey-search'), some.get('loqey-search-since')], path).toEqual(told);
    }
    await ask(`?q=old&named_before=${told[1]}`);
    expect(api.world.auditAsked.at(-1)).toMatchObject({ q: 'old', namedBefore: told[1] });
    expect((await ask('?q=old&named_before=yesterday')).status).toBe(400);
    expect(await ask('?q=')).toMatchObject({ status: 400, body: { details: { q: expect.any(String) } } });
    expect((await ask(`?q=${'x'.repeat(201)}`)).status).toBe(400);
  });
});

describe('an export', () => {
  const evil = '=HYPERLINK("http://x","y")';

  it('in CSV has a line for each entry, oldest first, and no formula', async () => {
    happened({ summary: evil, userAgent: '@SUM(1)', data: { reason: '-1\n"two"', n: 1 } });
    happened({ actorEmail: null, ip: null });
    const { status, headers, text } = await ask('/export?format=csv');
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('text/csv; charset=utf-8');
    expect(headers.get('content-disposition')).toMatch(/^attachment; filename="audit-2026-11-21T100000\.csv"$/);
    expect(text.split('\r\n').slice(1).every((line) => !/(?:^|,)"?[=+\-@\t\r]/.test(line))).toBe(true);
    const records = [];
    for await (const { cells } of readCsv((async function* () { yield Buffer.from(text); })(), { cell: 10_000, cells: 100 })) records.push(cells);
    const [head = [], first = [], second = []] = records;
    const cell = (row: readonly string[], name: string) => row[head.findIndex((each) => each.replace('\u{feff}', '') === name)];
    expect(records).toHaveLength(3);
    expect(cell(first, 'summary')).toBe(`'${evil}`);
    expect(cell(first, 'user_agent')).toBe("'@SUM(1)");
    expect(JSON.parse(cell(first, 'details') ?? '')).toEqual({ reason: '-1\n"two"', n: 1 });
    expect(cell(second, 'ip_address')).toBe('');
    expect(head.map((name) => name.replace('\u{feff}', '')).slice(0, 4)).toEqual(['timestamp', 'summary', 'action', 'outcome']);
  });

  it('in CSV begins with the mark of UTF-8, in NDJSON with the first entry', async () => {
    const row = happened();
    const bytes = async (format: string) => Buffer.from(await (await fetch(`${api.url}/api/v1/admin/logs/audit/export?format=${format}`, { headers: { authorization: `Bearer ${admin.token}` } })).arrayBuffer());
    expect((await bytes('csv')).subarray(0, 12).toString('hex')).toBe(Buffer.from('\u{feff}timestamp').toString('hex'));
    const lines = (await bytes('ndjson')).toString().trimEnd().split('\n');
    const list = (await ask('')).body as unknown[];
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(list);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(row.eventId);
  });

  it('heeds the filters of the list, and refuses what it does not know', async () => {
    happened({ action: 'link_revoked' });
    happened();
    expect((await ask('/export?format=ndjson&action=link_revoked')).text.trimEnd().split('\n')).toHaveLength(1);
    expect(await ask('/export')).toMatchObject({ status: 400, body: { details: { format: expect.any(String) } } });
    expect((await ask('/export?format=xls')).status).toBe(400);
    expect((await ask('/export?format=csv&limit=3')).status).toBe(400);
    expect((await ask('/export?format=csv&before=nonsense')).status).toBe(400);
    expect((await ask('/export?format=csv', api.signIn().token)).status).toBe(403);
    expect((await api.ask('GET', '/api/v1/admin/logs/audit/export?format=csv')).status).toBe(401);
  });

  it('is written down before it leaves, with nothing of what was typed; and does not leave where it cannot be', async () => {
    const row = happened();
    const deviceId = newId();
    const filters = `q=ana%20smith&ip=203.0.113.7&action=link_created&type=LinkCreated&actor=Somebody&device_id=${deviceId}&outcome=accepted&date_from=2026-11-01`;
    for (const format of ['csv', 'ndjson'] as const) {
      expect((await ask(`/export?format=${format}&${filters}`)).status).toBe(200);
      const asked = { q: true, ip: true, action: true, types: true, actorId: true, deviceId, outcome: 'accepted', from: '2026-11-01T00:00:00.000Z' };
      const { command, context } = api.world.commands.at(-1) ?? {};
      expect(command).toEqual({ type: 'StartAuditExport', data: { userId: admin.userId, format, upTo: String(row.position), filters: asked } });
      expect(context).toMatchObject({ actor: { kind: 'admin', id: admin.userId }, source: 'web_dashboard' });
    }
    const before = api.world.commands.length;
    await api.ask('HEAD', '/api/v1/admin/logs/audit/export?format=csv', { token: admin.token });
    await ask('/export?format=xls');
    expect(api.world.commands).toHaveLength(before);
    api.world.refuse = { StartAuditExport: { code: 'role_missing' } };
    expect(await ask('/export?format=csv')).toMatchObject({ status: 403 });
    api.world.refuse = {};
    api.world.throws = new EventStoreUnavailable('gone');
    // More often than there may be exports: what did not begin is none.
    for (let n = 0; n < 5; n++) expect(await ask('/export?format=csv')).toMatchObject({ status: 503, body: { error: 'unavailable' } });
    api.world.throws = undefined;
    expect((await ask('/export?format=csv')).status).toBe(200);
  });

  it('waits for its reader, ends with it, and is one of few', async () => {
    let made = 0;
    let ended = 0;
    const row = happened();
    async function* endless() {
      try {
        for (; made < 100_000; made++) yield Array.from({ length: 500 }, () => row);
      } finally {
        ended++;
      }
    }
    api.world.reads.audit.pages = async () => ({ partial: false, namedSince: undefined, pieces: endless() });
    // Its answer has no end: nothing may read it to check it.
    const begin = async (token = admin.token) => {
      const request = get(`${api.url}/api/v1/admin/logs/audit/export?format=ndjson`, { headers: { authorization: `Bearer ${token}` }, agent: false });
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      request.on('error', () => undefined);
      response.on('error', () => undefined);
      let text = '';
      if (response.statusCode !== 200) for await (const chunk of response) text += String(chunk);
      return { status: response.statusCode, text, leave: () => request.destroy(), retryAfter: response.headers['retry-after'] };
    };
    const [first, second] = [await begin(), await begin()];
    const third = await begin();
    expect(third).toMatchObject({ status: 429, text: expect.stringContaining('2 exports of yours are under way') });
    expect(third.retryAfter).toBe('10');
    const others = [api.signIn({ adminRole: 'admin' }), api.signIn({ adminRole: 'admin' })];
    const [fourth, fifth] = [await begin(others[0]?.token), await begin(others[0]?.token)];
    expect((await begin(others[1]?.token)).status).toBe(503);
    // Nobody reads: what is made is what fits into the buffers in between.
    await still(() => made);
    expect(made).toBeLessThan(1_000);
    for (const { leave } of [first, second, fourth, fifth]) leave();
    await until(() => ended === 4);
    const again = await begin();
    expect(again.status).toBe(200);
    again.leave();
    expect(await api.ask('HEAD', '/api/v1/admin/logs/audit/export?format=csv', { token: admin.token })).toMatchObject({ status: 200, text: '' });
    await until(() => ended === 5);
  });
});

/** Until a figure has not grown for a while. */
async function still(figure: () => number): Promise<void> {
  let [before, times] = [-1, 0];
  await until(() => {
    times = figure() === before ? times + 1 : 0;
    before = figure();
    return before > 0 && times >= 20;
  });
}

async function until(condition: () => boolean): Promise<void> {
  await soon(
    (async () => {
      while (!condition()) await new Promise((resolve) => setTimeout(resolve, 30));
    })(),
    'the condition',
  );
}

class Tail {
  readonly ws: WebSocket;
  readonly messages: { readonly type: string; readonly position?: string; readonly event_id?: string; readonly entry?: { readonly summary: string } }[] = [];
  closed: number | undefined;
  refused: { status: number | undefined; text: string } | undefined;

  constructor(query = '', token: string | undefined = admin.token) {
    this.ws = new WebSocket(`${api.url.replace('http', 'ws')}/api/v1/ws/admin/audit${query}`, { headers: token === undefined ? {} : { authorization: `Bearer ${token}` } });
    this.ws.on('message', (data) => this.messages.push(JSON.parse((data as Buffer).toString()) as Tail['messages'][number]));
    this.ws.on('close', (code) => (this.closed = code));
    this.ws.on('unexpected-response', (_req, res) => {
      let text = '';
      res.on('data', (chunk: Buffer) => (text += chunk.toString())).on('end', () => (this.refused = { status: res.statusCode, text }));
    });
    this.ws.on('error', () => undefined);
    opened.push(this);
  }

  get events(): (string | undefined)[] {
    return this.messages.filter(({ type }) => type === 'audit_entry').map(({ event_id: id }) => id);
  }
}

describe('the tail of the audit log', () => {
  it('tells what comes, in order and once, and goes on from where it was', async () => {
    happened();
    const tail = new Tail();
    await until(() => tail.messages.length > 0);
    expect(tail.messages[0]).toMatchObject({ type: 'subscribed', position: expect.any(String) });
    const rows = [happened(), happened(), happened()];
    await until(() => tail.events.length === 3);
    expect(tail.events).toEqual(rows.map(({ eventId }) => eventId));
    const last = tail.messages.at(-1)?.position ?? '';
    tail.ws.close();
    const missed = [happened(), happened()];
    const next = new Tail(`?after=${last}`);
    await until(() => next.events.length === 2);
    const later = happened();
    await until(() => next.events.length === 3);
    expect(next.events).toEqual([...missed, later].map(({ eventId }) => eventId));
    expect(next.messages.find(({ type }) => type === 'audit_entry')?.entry?.summary).toBe(later.summary);
    const first = new Tail(`?after=${tail.messages[0]?.position ?? ''}`);
    await until(() => first.events.length === 6);
    expect(first.events).toEqual([...rows, ...missed, later].map(({ eventId }) => eventId));
  });

  it('says that a log that was put back does not reach to where it was, and goes on from its end', async () => {
    const lost = happened();
    api.world.audit.length = 0;
    const last = happened({ position: lost.position - 1n });
    api.world.logEnd = last.position;
    const tail = new Tail(`?after=${api.api.positions.encode(lost.position)}`);
    await until(() => tail.messages.length === 2);
    expect(tail.messages).toEqual([{ type: 'subscribed', position: api.api.positions.encode(last.position) }, { type: 'resync' }]);
    const next = happened({ position: lost.position });
    await until(() => tail.events.length === 1);
    expect(tail.events).toEqual([next.eventId]);
  });

  it('heeds the filters of the list, the search too', async () => {
    const [byAction, byWord] = [new Tail('?action=link_revoked'), new Tail('?q=kestrel')];
    await until(() => byAction.messages.length > 0 && byWord.messages.length > 0);
    const revoked = happened({ action: 'link_revoked' });
    const said = happened({ summary: 'kestrel' });
    await until(() => byAction.events.length > 0 && byWord.events.length > 0);
    expect([byAction.events, byWord.events]).toEqual([[revoked.eventId], [said.eventId]]);
  });

  it('is refused before it begins: no right, no token, a filter that is none', async () => {
    const cases: readonly (readonly [Tail, number, string])[] = [
      [new Tail('', api.signIn().token), 403, 'forbidden'],
      [new Tail('', 'nonsense'), 401, 'unauthorized'],
      [new Tail('?colour=red'), 400, 'colour'],
      [new Tail('?outcome=maybe'), 400, 'outcome'],
      [new Tail('?limit=3'), 400, 'limit'],
    ];
    for (const [tail, status, words] of cases) {
      await until(() => tail.refused !== undefined);
      expect(tail.refused?.status).toBe(status);
      expect(tail.refused?.text).toContain(words);
    }
    expect(api.world.refusals).toMatchObject([{ command: 'listen_audit', target: { kind: 'user' }, refusal: { code: 'role_missing' } }]);
    const odd = new Tail('?after=nonsense');
    await until(() => odd.closed !== undefined);
    expect(odd.closed).toBe(1008);
  });

  it('ends with the right, and with the session', async () => {
    const [right, session] = [api.signIn({ adminRole: 'admin' }), api.signIn({ adminRole: 'admin' })];
    const [one, other] = [new Tail('', right.token), new Tail('', session.token)];
    await until(() => one.messages.length > 0 && other.messages.length > 0);
    const user = api.world.users.get(right.userId);
    if (user !== undefined) api.world.users.set(right.userId, { ...user, adminRole: null, accessVersion: user.accessVersion + 1 });
    api.world.sessions.get(session.sessionId)!.live = false;
    api.world.tell([`user:${right.userId}`], 'user_changed');
    await until(() => one.closed !== undefined && other.closed !== undefined);
    expect([one.closed, other.closed].every((code) => code === 4401 || code === 4403)).toBe(true);
    happened();
    expect(one.events).toEqual([]);
  });

  it('does not run ahead of a client that reads nothing, and cuts it off in the end', async () => {
    await api.stop();
    let ahead = 0;
    const world = new World();
    const clock = { now: () => world.now, monotonic: () => performance.now() + ahead };
    api = await startApi({ world, clock });
    admin = api.signIn({ adminRole: 'support' });
    happened();
    const tail = new Tail();
    await until(() => tail.messages.length > 0);
    tail.ws.pause();
    let looked = 0;
    const row = happened({ data: { text: 'x'.repeat(2_000) } });
    world.reads.audit.news = async (_filter, after) => {
      looked++;
      return { rows: Array.from({ length: 200 }, (_, n) => ({ ...row, position: after + 1n + BigInt(n) })), through: after + 200n };
    };
    world.reads.audit.head = async () => 10_000_000n;
    await still(() => looked);
    expect(looked).toBeLessThan(200);
    ahead = 60_000;
    await still(() => looked); // one look of the server later it is gone
    tail.ws.resume();
    await until(() => tail.closed !== undefined);
    expect(tail.events.length).toBeLessThanOrEqual(looked * 200);
  });
});
