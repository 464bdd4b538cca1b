import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { permissions, type Permission } from '../../src/api/permissions.ts';
import type { Route } from '../../src/api/route.ts';
import { pathsOf } from '../../src/api/router.ts';
import { routeTable } from '../../src/api/table.ts';
import { startApp, testSecrets, type RunningApp } from '../support/app.ts';
import { absent, gather, type Cast, type Identity, type Things } from './cast.ts';
import { rights, rules, type Rule } from './rules.ts';

/**
 * Every route × everybody × their own thing, somebody else's, and one that there is not. What is expected follows from
 * `rules.ts` alone. First everything that must be refused, on things that stay; then a look at the log, which has nothing
 * of it but refusals; then everything that must be allowed.
 */

type Whose = 'own' | "somebody else's" | 'absent';

interface Cell {
  readonly route: Route;
  readonly rule: Rule;
  readonly method: string;
  readonly path: string;
  readonly identity: Identity;
  readonly whose: Whose;
  readonly status: number;
}

const parameters: Readonly<Record<string, (things: Things) => string>> = {
  device_id: ({ device }) => device,
  link_id: ({ link }) => link,
  link_token: ({ token }) => token,
  user_id: ({ user }) => user,
  command_id: ({ delivery }) => delivery,
  unlock_id: ({ delivery }) => delivery,
  delivery_id: ({ delivery }) => delivery,
  session_id: ({ session }) => session,
  notification_id: ({ notification }) => notification,
  erasure_id: ({ delivery }) => delivery,
  event_id: ({ delivery }) => delivery,
  position: () => 'none',
  name: () => 'cleanup',
};

/** What there is besides routes. */
const sockets = [
  ['/ws/devices/{device_id}', { who: 'account', names: 'device' }],
  ['/ws/device-status', { who: 'account', names: undefined }],
  ['/ws/delivery/{link_token}', { who: 'link', names: 'token' }],
  ['/ws/admin/system', { who: 'system:read', names: undefined }],
  ['/ws/admin/audit', { who: 'audit:read', names: undefined }],
  ['/ws/admin/playback', { who: 'audit:read', names: undefined }],
] as const;

/** Behind an older name is the same row of the table: there those are tried that differ most. */
const atOlderNames: ReadonlySet<string> = new Set(['nobody', 'the owner', 'another owner', 'support', 'a super_admin', 'the box']);

/** Where no right is asked for, an administrator is an account like any other: the one with least and the one with most stand for all. */
const bothEnds: ReadonlySet<string> = new Set(['support', 'a super_admin']);
const isOfRight = ({ who }: Rule): boolean => who.includes(':');

function expected({ who, names, unless, answers }: Rule, route: Route, { is, rights: has, box }: Identity, whose: Whose, cast: Cast): number {
  const good = answers ?? Math.min(...Object.keys(route.replies).map(Number));
  const things = whose === 'absent' && names !== undefined ? 404 : good;
  if (who === 'anyone') return good;
  if (who === 'link') return things;
  if (who === 'box') return is === 'box' && box === (whose === 'absent' ? undefined : whose === 'own' ? box : cast.other.device) ? good : 401;
  if (is === 'unknown' || is === 'box') return 401;
  if (is === 'suspended') return 403;
  if (who !== 'account') return has.has(who) ? things : 403;
  if (names === undefined || whose === 'own' || (unless !== undefined && has.has(unless))) return things;
  return 404;
}

const mayTouch = (status: number): boolean => status !== 401 && status !== 403;

describe('who may do what', () => {
  let app: RunningApp;
  let cast: Cast;
  let before: string;

  beforeAll(async () => {
    const secrets = testSecrets();
    app = await startApp({}, { secrets });
    cast = await gather(app, secrets.secretKey ?? '');
    before = (await newest()) ?? '';
  });
  afterAll(() => app?.stop());

  const newest = async () => (await cast.admin.api.get<{ position: string }[]>('/admin/logs/audit?limit=1'))[0]?.position;

  function cells(route: Route): Cell[] {
    const rule = rules[route.id]!;
    return pathsOf(route).flatMap(({ method, path, alias }) =>
      cast.identities
        .filter(({ name, rights: { size } }) => (alias ? atOlderNames.has(name) : size === 0 || isOfRight(rule) || bothEnds.has(name)))
        .flatMap((identity) => {
          const whose: Whose[] = rule.names === undefined ? ['absent'] : [...(identity.things === undefined ? [] : (['own'] as const)), "somebody else's", 'absent'];
          return whose.map((each) => ({ route, rule, method, path, identity, whose: each, status: expected(rule, route, identity, each, cast) }));
        }),
    );
  }

  async function ask({ rule, method, path, identity, whose }: Cell, things: Things, by = cast, bearer = identity.bearer) {
    const filled = path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => parameters[name]!(things));
    const body = rule.csv ?? (rule.body === undefined ? undefined : JSON.stringify(await rule.body(things, by)));
    const query = rule.query === undefined ? '' : `?${new URLSearchParams(rule.query(things, by)).toString()}`;
    const response = await fetch(app.url + filled + query, {
      method,
      headers: {
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
        ...(body === undefined ? {} : { 'content-type': rule.csv === undefined ? 'application/json' : 'text/csv' }),
      },
      ...(body === undefined ? {} : { body }),
    });
    const text = await response.text();
    const isJson = (response.headers.get('content-type') ?? '').startsWith('application/json');
    const headers = [...response.headers].filter(([name]) => name !== 'x-request-id' && name !== 'date');
    return { status: response.status, headers, body: isJson ? (JSON.parse(text) as unknown) : text, who: `${identity.name}, ${whose}: ${text.slice(0, 200)}` };
  }

  const thingsOf = ({ identity, whose }: Cell): Things => (whose === 'own' ? identity.things! : whose === 'absent' ? absent() : cast.other);
  const untraced = (body: unknown) => (typeof body === 'object' && body !== null && 'trace_id' in body ? { ...body, trace_id: '' } : body);
  const isRefused = ({ status, rule, identity, whose }: Cell) => !mayTouch(status) || (rule.names !== undefined && rule.who !== 'anyone' && whose !== 'own' && !(rule.who !== 'account' && whose !== 'absent') && !(rule.unless !== undefined && identity.rights.has(rule.unless) && whose !== 'absent'));

  const routes = routeTable.map((route) => [route.id, route] as const);

  test('every route is in the rules, and no rule is without its route', () => {
    expect(routeTable.map(({ id }) => id).filter((id) => rules[id] === undefined), 'routes of which test/authorisation/rules.ts says nothing').toEqual([]);
    expect(Object.keys(rules).filter((id) => !routeTable.some((route) => route.id === id)), 'rules of routes that are gone').toEqual([]);
    const unknown = routeTable.flatMap((route) => pathsOf(route)).flatMap(({ path }) => [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name!)).filter((name) => parameters[name] === undefined);
    expect(unknown, 'parameters that the matrix cannot fill').toEqual([]);
  });

  test('every socket that is described is tried', () => {
    const document = JSON.parse(readFileSync(new URL('../../contracts/asyncapi.json', import.meta.url), 'utf8')) as { channels: Record<string, { address: string }> };
    const described = Object.values(document.channels).map(({ address }) => address).filter((address) => address.startsWith('/ws/'));
    expect(described.filter((address) => !sockets.some(([path]) => path === address)), 'sockets of which this test says nothing').toEqual([]);
  });

  test('every right is in the rules, and each role has its own', async () => {
    expect([...permissions].sort()).toEqual([...rights.super_admin].sort());
    const roles = await cast.admin.api.get<{ role: keyof typeof rights; permissions: string[] }[]>('/admin/roles');
    for (const { role, permissions: brought } of roles) expect([...brought].sort(), role).toEqual([...rights[role]].sort());
    expect(roles.map(({ role }) => role).sort()).toEqual(Object.keys(rights).sort());
  });

  test.each(routes)('%s declares what the rules say', (id, { access }) => {
    const { who } = rules[id]!;
    expect(access.kind === 'admin' ? access.permission : access.kind === 'device' ? 'box' : access.kind).toBe(who);
  });

  describe('is refused', () => {
    test.concurrent.each(routes)('%s', async (_id, route) => {
      const known = new Map<string, Awaited<ReturnType<typeof ask>>>();
      for (const cell of cells(route).filter((each) => isRefused(each) || each.rule.othersAs !== undefined)) {
        if (cell.rule.othersAs !== undefined && cell.whose === 'own') continue;
        const answer = await ask(cell, thingsOf(cell), { ...cast, unclaimed: async () => cast.spare });
        const name = `${cell.method} ${cell.path} ${answer.who}`;
        if (cell.rule.othersAs !== undefined && mayTouch(answer.status)) {
          expect(answer.status, name).toBe(200);
          expect(cell.rule.othersAs(answer.body), name).toBe(true);
        } else {
          expect(answer.status, name).toBe(cell.status);
        }
        // What is somebody else's and what there is not are the same, but for the ids in the question.
        const key = `${cell.method} ${cell.path} ${cell.identity.name}`;
        const twin = known.get(key);
        known.set(key, answer);
        if (twin === undefined || cell.whose !== 'absent') continue;
        expect(untraced(answer.body), name).toEqual(untraced(twin.body));
        expect(answer.headers, name).toEqual(twin.headers);
      }
    });

    test('and nothing came of any of it', async () => {
      const done: string[] = [];
      for (let after: string | null = before; after !== null; ) {
        const response: Response = await fetch(`${app.url}/api/v1/admin/logs/audit?limit=1000&after=${encodeURIComponent(after)}`, { headers: { authorization: `Bearer ${cast.admin.token}` } });
        for (const { type, outcome } of (await response.json()) as { type: string; outcome: string }[]) if (outcome !== 'refused') done.push(type);
        after = response.headers.get('x-next-cursor');
      }
      expect(done.filter((type) => !unasked.has(type))).toEqual([]);
    });
  });

  test.each(sockets)('the socket %s', async (path, { who, names }) => {
    for (const identity of cast.identities) {
      const whose: Whose[] = names === undefined ? ['absent'] : [...(identity.things === undefined ? [] : (['own'] as const)), "somebody else's", 'absent'];
      const answers = [];
      for (const each of whose) {
        const things = each === 'own' ? identity.things! : each === 'absent' ? absent() : cast.other;
        const status = socketStatus(who, names !== undefined, identity, each);
        const answer = await knock(path.replaceAll(/\{(\w+)\}/g, (_all, name: string) => parameters[name]!(things)), identity.bearer);
        expect(answer.status, `${identity.name}, ${each}: ${answer.body}`).toBe(status);
        if (each !== 'own') answers.push(answer);
      }
      if (who === 'account' && answers.length === 2) expect(answers[0], identity.name).toEqual(answers[1]);
    }
  });

  /** Without a bearer a socket opens to be told who it is in its first message: then it hears nothing until that was right. */
  function socketStatus(who: 'account' | 'link' | Permission, names: boolean, { is, bearer, rights: has }: Identity, whose: Whose): number {
    if (who === 'link') return whose === 'absent' ? 404 : 101;
    if (bearer === undefined) return 101;
    if (is === 'unknown' || is === 'box') return 401;
    if (is === 'suspended') return 403;
    if (who === 'account') return whose === 'own' || !names ? 101 : 403;
    return has.has(who) ? 101 : 403;
  }

  function knock(path: string, bearer: string | undefined): Promise<{ readonly status: number; readonly body: string }> {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(app.url.replace('http', 'ws') + path, { headers: bearer === undefined ? {} : { authorization: `Bearer ${bearer}` } });
      socket.on('error', reject);
      socket.on('open', () => {
        resolve({ status: 101, body: '' });
        socket.terminate();
      });
      socket.on('unexpected-response', (_request, response) => {
        let body = '';
        response.on('data', (chunk: Buffer) => (body += chunk.toString()));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      });
    });
  }

  test.each(['garbage', 'a token of a session that ended', 'an expired token', 'the box', 'a suspended owner', 'the owner'])('a socket that is told who it is by %s', async (name) => {
    const { bearer, things } = cast.identities.find((each) => each.name === name)!;
    const heard: string[] = [];
    const code = await new Promise<number>((resolve, reject) => {
      const socket = new WebSocket(`${app.url.replace('http', 'ws')}/ws/devices/${name === 'the owner' ? cast.other.device : (things?.device ?? cast.other.device)}`);
      socket.on('error', reject);
      socket.on('open', () => socket.send(JSON.stringify({ type: 'auth', token: bearer })));
      socket.on('message', (data: Buffer) => heard.push(data.toString()));
      socket.on('close', resolve);
    });
    expect(heard).toEqual([]);
    expect(code).toBe(name === 'the owner' || name === 'a suspended owner' ? 4403 : 4401);
  });

  describe('is allowed', () => {
    test.concurrent.each(routes)('%s', async (_id, route) => {
      for (const cell of cells(route).filter((each) => !isRefused(each) && each.rule.othersAs === undefined || (each.rule.othersAs !== undefined && each.whose === 'own' && mayTouch(each.status)))) {
        const { rule, identity, whose } = cell;
        const things = rule.spends === 'things' && whose !== 'absent' ? await cast.fresh(whose === 'own' && identity.is === 'account' ? identity : undefined) : thingsOf(cell);
        const answer = await ask(cell, things, cast, rule.spends === 'session' ? await identity.again() : identity.bearer);
        expect(answer.status, `${cell.method} ${cell.path} ${answer.who}`).toBe(cell.status);
      }
    });
  });
});

/** What the system does by itself meanwhile, and what boxes say. */
const unasked: ReadonlySet<string> = new Set(['AuditHeadSigned', 'DeviceWentOffline', 'DoorStateReported']);
