import { createApi } from '../../src/api/api.ts';
import { createApp } from '../../src/api/app.ts';
import { linkTokenHash } from '../../src/api/link-token.ts';
import { attachLive } from '../../src/api/live.ts';
import { createHttpServer } from '../../src/api/server.ts';
import type { ApiSettings } from '../../src/api/settings.ts';
import type { RefusalCode } from '../../src/domain/kernel.ts';
import { commandIdOfKey, unlockIdOf } from '../../src/commands/command-ids.ts';
import { createCourierPage } from '../../src/courier-page/site.ts';
import type { DeviceRow, LinkRow, UnlockRow } from '../../src/projections/read-models.ts';
import { apiSettings, deviceRow, linkRow, progress, unlockRow, World } from '../support/world.ts';

export const TOKEN = 'AbCdEfGhIjKlMnOpQrStUvWxYz012345';
export const KEY = 'k'.repeat(22);
export const ago = (seconds: number, now: number): string => new Date(now - seconds * 1_000).toISOString();

export interface PageServer {
  readonly world: World;
  readonly url: string;
  readonly link: LinkRow;
  readonly device: DeviceRow;
  /** Another link, or box, from now on. */
  change(link: Partial<LinkRow>, device?: Partial<DeviceRow>): void;
  /** What came of the press with `KEY`. */
  attempt(over: Partial<UnlockRow>): UnlockRow;
  /** What the box said of itself since then. */
  says(action: string, at: string): void;
  refuse(code: RefusalCode, details?: Readonly<Record<string, string | number | boolean>>): void;
  get(more?: string, headers?: Readonly<Record<string, string>>): Promise<Visited>;
  post(fields: Readonly<Record<string, string>>, headers?: Readonly<Record<string, string>>, more?: string): Promise<Visited>;
  stop(): Promise<void>;
}

export interface Visited {
  readonly status: number;
  readonly headers: Headers;
  readonly html: string;
  /** Of `main`, as it is read. */
  readonly screen: string;
  readonly heading: string;
  readonly text: string;
}

/** The page on a server whose read models and boxes are a test's own words. */
export async function startPage(settings: Partial<ApiSettings> = {}): Promise<PageServer> {
  const world = new World();
  const deps = world.deps({ settings: { ...apiSettings, ...settings } });
  const api = createApi(deps);
  const http = createHttpServer(createApp(api, [createCourierPage(api)]), (server) => attachLive(server, api), { host: '127.0.0.1', port: 0, logger: deps.logger, drainMs: 1_000 });
  await http.start();
  const url = `http://127.0.0.1:${http.address()?.port}`;
  let device = deviceRow({ ownerId: 'aaaaaaaa-0000-4000-8000-00000000000a' });
  let link = linkRow({ deviceId: device.deviceId, tokenHash: linkTokenHash(TOKEN) });
  const put = () => {
    world.links.set(link.linkId, link);
    world.devices.set(device.deviceId, device);
  };
  put();
  let position = 0n;
  const says = (action: string, at: string): void => {
    world.activity.push({ position: ++position, deviceId: device.deviceId, activityType: 'system_event', action, source: 'device', success: true, description: '', userId: null, occurredAt: at });
  };

  async function visit(path: string, init: RequestInit): Promise<Visited> {
    const response = await fetch(url + path, { redirect: 'manual', ...init });
    return { status: response.status, headers: response.headers, ...read(await response.text()) };
  }

  return {
    world,
    url,
    get link() {
      return link;
    },
    get device() {
      return device;
    },
    change(overLink, overDevice = {}) {
      link = { ...link, ...overLink };
      device = { ...device, ...overDevice };
      put();
    },
    attempt(over) {
      const unlockId = unlockIdOf(commandIdOfKey(link.linkId, 'linkUnlock', KEY));
      const row = unlockRow({ unlockId, deviceId: device.deviceId, cause: { kind: 'link', id: link.linkId }, ...over });
      world.unlocks.set(unlockId, row);
      world.activity.length = 0;
      position = 0n;
      says('link_used', row.requestedAt);
      if (row.openedAt !== null) says('unlocked', row.openedAt);
      return row;
    },
    says,
    refuse(code, details) {
      world.unlock = { kind: 'refused', refusal: { code, ...(details === undefined ? {} : { details }) } };
    },
    get: (more = '', headers = {}) => visit(`/unlock/${TOKEN}${more}`, { headers }),
    post: (fields, headers = {}, more = '') => visit(`/unlock/${TOKEN}${more}`, { method: 'POST', headers, body: new URLSearchParams(fields) }),
    async stop() {
      await http.stop();
      api.stop();
    },
  };
}

export { progress };

export function read(html: string): Pick<Visited, 'html' | 'screen' | 'heading' | 'text'> {
  const main = /<main[^>]*>[\s\S]*?<\/main>/.exec(html)?.[0] ?? '';
  const words = (part: string) => part.replaceAll('</p><p', '</p> <p').replaceAll(/<[^>]+>/g, '').replaceAll('&#39;', "'").replaceAll('&quot;', '"').replaceAll('&amp;', '&').replaceAll(/\s+/g, ' ').trim();
  const state = /<div class="state">([\s\S]*?)<\/div>/.exec(main)?.[1] ?? '';
  return {
    html,
    screen: /data-screen="([^"]+)"/.exec(main)?.[1] ?? '',
    heading: words(/<h1[^>]*>([\s\S]*?)<\/h1>/.exec(state)?.[1] ?? ''),
    text: words(state.replace(/<h1[\s\S]*?<\/h1>/, '')),
  };
}
