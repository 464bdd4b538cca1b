import { mkdtempSync, rmSync, chmodSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { createClient, UnexpectedAnswer } from '../client/client.ts';
import { createNarrator, StepFailed } from '../demo/narrator.ts';
import { runScenario, type Told } from '../demo/scenario.ts';
import { stayOn } from '../demo/stay.ts';
import type { Lockbox } from '../simulator/lockbox.ts';
import { lendAdmin, serverHere } from './lent-admin.ts';
import { startServer } from './start.ts';
import { createTerminal, seconds, type Terminal } from './terminal.ts';

export interface DemoOptions {
  readonly environ: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly terminal: Terminal;
  /** Then the box stays switched on, with a link to try, until this. */
  readonly stay: AbortSignal | undefined;
}

/**
 * The story of one delivery, told step by step and checked at each. On the server of this folder where one runs, with an
 * administrator of its own who loses the role afterwards; else on a server that lives as long as the story.
 */
export async function runDemo(options: DemoOptions): Promise<boolean> {
  const { terminal, environ, version, stay } = options;
  const running = await serverHere(environ);
  if (running !== undefined) {
    terminal.say(`The server at ${running} is used. Its demo box, owner and delivery stay in its history.\n`);
    const admin = await lendAdmin('demo', options);
    try {
      return await tell(terminal, running, admin, stay);
    } finally {
      await admin.giveBack();
    }
  }

  terminal.say('No server runs in this folder: one is started for the demo alone, with a data folder of its own.\n');
  const folder = mkdtempSync(join(tmpdir(), 'loqey-demo-'));
  chmodSync(folder, 0o711);
  const admin = { email: 'admin@example.com', password: `demo ${randomUUID()}` };
  const quiet = createTerminal({ json: true, stdout: process.stderr, stderr: process.stderr, color: false });
  try {
    const server = await startServer({
      environ: { ...environ, DATA_DIR: folder, PORT: '0', MQTT_BROKER_PORT: '0', ENVIRONMENT: 'development', ADMIN_EMAIL: admin.email, ADMIN_PASSWORD: admin.password },
      version,
      verbose: false,
      terminal: { ...quiet, event: () => undefined },
    });
    try {
      return await tell(terminal, server.app.addresses.http, admin, stay);
    } finally {
      await server.stop();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function tell(terminal: Terminal, url: string, admin: { readonly email: string; readonly password: string }, stay: AbortSignal | undefined): Promise<boolean> {
  const began = performance.now();
  const boxes: Lockbox[] = [];
  const narrator = createNarrator(terminal);
  let ok = true;
  let told: Told | undefined;
  try {
    told = await runScenario({ api: createClient({ baseUrl: url }), admin, narrator, onBox: (box) => boxes.push(box) });
  } catch (error) {
    ok = false;
    if (!(error instanceof StepFailed || error instanceof UnexpectedAnswer)) terminal.say(`\n${(error as Error).stack ?? String(error)}`);
  }
  const took = seconds(performance.now() - began);
  terminal.say(ok ? `\n${terminal.paint.green('✔')} ${narrator.steps} steps, all as they should be, in ${took}.` : `\n${terminal.paint.red('✖')} Step ${narrator.steps} was not as it should be.`);
  terminal.event('finished', { ok, steps: narrator.steps });
  try {
    if (told !== undefined && stay !== undefined) await stayOn(told, terminal, stay);
  } finally {
    await Promise.all(boxes.map((box) => box.stop()));
  }
  return ok;
}
