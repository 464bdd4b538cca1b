import { randomUUID } from 'node:crypto';
import { pause } from '../platform/backoff.ts';
import type { Lockbox } from '../simulator/lockbox.ts';
import type { Terminal } from '../shell/terminal.ts';
import type { Told } from './scenario.ts';

const USES = 10;
/** Somebody opens the door, puts a parcel in, shuts it. */
const DOOR_OPENS_MS = 1_500;
const DOOR_SHUTS_MS = 6_000;

/** Leaves the box of the story switched on, with a link to open it in a browser, until `ended`. */
export async function stayOn({ box, owner }: Told, terminal: Terminal, ended: AbortSignal): Promise<void> {
  const { access_url: address } = await owner.ask('createLink', { body: { device_id: box.deviceId, name: 'Try it', max_uses: USES }, idempotencyKey: randomUUID() });
  terminal.say(`\nThe box stays switched on. Open it in a browser, ${USES} times at most:\n\n  ${address}\n\nCtrl+C switches it off.\n`);
  terminal.event('link', { address, uses: USES });
  const visits: Promise<void>[] = [];
  const stop = box.on((event) => {
    if (event.type !== 'opened') return;
    terminal.say(`  ${new Date().toLocaleTimeString('en-GB')}  its bolt moved; somebody puts a parcel in and shuts the door`);
    visits.push(visit(box, ended));
  });
  await new Promise<void>((resolve) => (ended.aborted ? resolve() : ended.addEventListener('abort', () => resolve(), { once: true })));
  stop();
  await Promise.all(visits);
}

async function visit(box: Lockbox, ended: AbortSignal): Promise<void> {
  await pause(DOOR_OPENS_MS, ended);
  box.hands.setDoor(true);
  await pause(DOOR_SHUTS_MS, ended);
  box.hands.setDoor(false);
}
