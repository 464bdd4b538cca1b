import type { Method, Route } from './route.ts';
import { bodyCheck, textCheck, type Check } from './validate.ts';

/** Served below each of these; the second is the older name. */
const prefixes = ['/api/v1', '/api'] as const;

/** A route with what was made of its schemas once, at start. */
export interface Endpoint {
  readonly route: Route;
  /** Of the parameters in the order of this path's segments. */
  readonly names: readonly string[];
  /** The path with its parameter names: the only form that logs and metrics see. */
  readonly pattern: string;
  readonly checkParams: Check | undefined;
  readonly checkQuery: Check;
  readonly checkBody: Check | undefined;
}

export type Found =
  | { readonly kind: 'found'; readonly endpoint: Endpoint; readonly values: readonly string[] }
  | { readonly kind: 'wrong_method'; readonly allow: string; readonly methods: ReadonlySet<string> }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'malformed' };

interface Node {
  readonly statics: Map<string, Node>;
  parameter: Node | undefined;
  readonly endpoints: Map<Method, Endpoint>;
}

const nothing: Found = { kind: 'nothing' };
const malformed: Found = { kind: 'malformed' };

/**
 * A tree over path segments: static names before parameters, case-sensitive, one trailing slash accepted. One lookup
 * whatever the number of routes and aliases.
 */
export class Router {
  private readonly root: Node = node();

  constructor(table: readonly Route[]) {
    for (const route of table) {
      const checks = {
        checkParams: Object.keys(route.params.properties).length === 0 ? undefined : textCheck(route.params),
        // An address that a courier was sent picks up markers on its way through chats; elsewhere a name that is not known is a mistake.
        checkQuery: textCheck(route.query, route.access.kind === 'link' || route.root !== undefined),
        checkBody: route.body === undefined || route.rawBody === true ? undefined : bodyCheck(route.body),
      };
      for (const { method, path } of pathsOf(route)) this.add(method, path, route, checks);
    }
  }

  find(method: string, path: string): Found {
    const segments = path.split('/');
    if (segments.length > 2 && segments.at(-1) === '') segments.pop();
    const values: string[] = [];
    let at: Node | undefined = this.root;
    for (let i = 1; i < segments.length && at !== undefined; i++) {
      const segment = segments[i] ?? '';
      const next: Node | undefined = at.statics.get(segment);
      if (next === undefined && at.parameter !== undefined) {
        const value = decode(segment);
        if (value === undefined) return malformed;
        if (value === '') return nothing;
        values.push(value);
        at = at.parameter;
      } else {
        at = next;
      }
    }
    if (at === undefined || at.endpoints.size === 0) return nothing;
    const endpoint = at.endpoints.get((method === 'HEAD' ? 'GET' : method) as Method);
    if (endpoint !== undefined) return { kind: 'found', endpoint, values };
    const methods = new Set<string>(at.endpoints.keys());
    if (methods.has('GET')) methods.add('HEAD');
    methods.add('OPTIONS');
    return { kind: 'wrong_method', allow: [...methods].join(', '), methods };
  }

  private add(method: Method, path: string, route: Route, checks: Pick<Endpoint, 'checkParams' | 'checkQuery' | 'checkBody'>): void {
    let at = this.root;
    const names: string[] = [];
    for (const segment of path.split('/').slice(1)) {
      if (segment.startsWith('{')) {
        names.push(segment.slice(1, -1));
        at = at.parameter ??= node();
      } else {
        let next = at.statics.get(segment);
        if (next === undefined) at.statics.set(segment, (next = node()));
        at = next;
      }
    }
    if (at.endpoints.has(method)) throw new Error(`${method} ${path} is declared twice`);
    at.endpoints.set(method, { route, names, pattern: path, ...checks });
  }
}

/** Every method and full path that a route answers. */
export function pathsOf(route: Route): { readonly method: Method; readonly path: string; readonly alias: boolean }[] {
  const own = [{ method: route.method, path: route.path }, ...(route.aliases ?? [])];
  return own.flatMap(({ method, path }, index) => {
    const roots = route.root === undefined ? [] : [{ method, path, alias: index > 0 }];
    if (route.root === 'only') return roots;
    return [
      ...roots,
      ...prefixes.map((prefix) => ({ method, path: prefix + path, alias: index > 0 || prefix !== prefixes[0] })),
    ];
  });
}

function node(): Node {
  return { statics: new Map(), parameter: undefined, endpoints: new Map() };
}

function decode(segment: string): string | undefined {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return undefined;
  }
}
