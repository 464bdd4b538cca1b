import { WebSocket } from 'ws';
import type { Model, Owner } from './model.ts';

/** What an owner's app shows, made of what its socket told it and of nothing else after the beginning. */
export interface Listener {
  readonly owner: Owner;
  /** `at`: milliseconds since the epoch. */
  readonly boxes: Map<string, { readonly status: string; readonly online: boolean; readonly at: number }>;
  readonly links: Map<string, { readonly deviceId: string; readonly uses: number; readonly status: string }>;
  readonly connected: boolean;
  /** As an app that is opened anew. */
  beginAnew(): void;
  stop(): void;
}

interface Message {
  readonly type: string;
  readonly position?: string;
  readonly device_id?: string;
  readonly status?: string;
  readonly online?: boolean;
  readonly link_id?: string;
  readonly usage_count?: number;
}

const AGAIN_MS = 300;

/** One socket for each owner, which goes on from its last position whenever it is cut. */
export function listen(url: string, model: Model): readonly Listener[] {
  return model.owners.map((owner) => {
    const boxes: Listener['boxes'] = new Map();
    const links: Listener['links'] = new Map();
    let socket: WebSocket | undefined;
    let timer: NodeJS.Timeout | undefined;
    let connected = false;
    let stopped = false;
    let position: string | undefined;

    function connect(): void {
      const at = position === undefined ? '' : `?after=${encodeURIComponent(position)}`;
      const opened = new WebSocket(`${url.replace('http', 'ws')}/api/v1/ws/device-status${at}`, { headers: { authorization: `Bearer ${owner.token}` }, handshakeTimeout: 5_000 });
      socket = opened;
      opened.on('error', () => undefined);
      opened.on('message', (data) => hear(JSON.parse((data as Buffer).toString()) as Message));
      opened.on('close', () => {
        connected = false;
        if (!stopped) timer = setTimeout(connect, AGAIN_MS);
      });
    }

    function hear(message: Message): void {
      position = message.position ?? position;
      if (message.type === 'subscribed') connected = true;
      // What was missed is read anew: from here on nothing is known but what comes.
      if (message.type === 'resync') {
        boxes.clear();
        links.clear();
        position = undefined;
      }
      if (message.type === 'status_update') boxes.set(message.device_id!, { status: message.status!, online: message.online!, at: Date.now() });
      if (message.type === 'link_update') links.set(message.link_id!, { deviceId: message.device_id!, uses: message.usage_count!, status: message.status! });
      if (message.type === 'links_revoked') {
        for (const [id, link] of links) if (link.deviceId === message.device_id && link.status === 'active') links.set(id, { ...link, status: 'revoked' });
      }
    }

    connect();
    return {
      owner,
      boxes,
      links,
      get connected() {
        return connected;
      },
      beginAnew() {
        boxes.clear();
        links.clear();
        position = undefined;
        socket?.terminate();
      },
      stop() {
        stopped = true;
        clearTimeout(timer);
        socket?.terminate();
      },
    };
  });
}
