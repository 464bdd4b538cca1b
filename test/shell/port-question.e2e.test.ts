import { createServer } from 'node:net';
import { PassThrough } from 'node:stream';
import { afterAll, describe, expect, test } from 'vitest';
import { PortTaken } from '../../src/platform/data-dir/ports.ts';
import { startServer } from '../../src/shell/start.ts';
import { createTerminal, type Terminal } from '../../src/shell/terminal.ts';
import { cleanUp, dataFolder, freePort, processesOf } from '../support/server-process.ts';
import { until } from '../support/until.ts';

// A taken port that nobody chose, on a terminal: a free one is offered, and nothing happens without a Yes.

afterAll(cleanUp);

interface Screen {
  readonly terminal: Terminal;
  readonly text: string;
  type(text: string): void;
}

function screen(isTTY: boolean): Screen {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()].map((stream) => Object.assign(stream, { isTTY }));
  let text = '';
  stderr!.on('data', (chunk: Buffer) => (text += chunk.toString()));
  return {
    terminal: createTerminal({ json: false, stdin: stdin!, stdout: stdout!, stderr: stderr!, color: false }),
    get text() {
      return text;
    },
    type: (typed) => void stdin!.write(typed),
  };
}

/** The default port is taken: by this test, or by whoever has it already. */
async function withDefaultPortTaken(work: () => Promise<void>): Promise<void> {
  const holder = createServer();
  await new Promise<void>((settle) => holder.once('error', () => settle()).listen({ port: 8_000, host: '127.0.0.1' }, settle));
  try {
    await work();
  } finally {
    holder.close();
  }
}

const settings = (folder: string) => ({ DATA_DIR: folder, MQTT_BROKER_PORT: '0', BCRYPT_ROUNDS: '4' });
const start = (environ: Record<string, string>, { terminal }: Screen) => startServer({ environ, version: '0.1.0', verbose: false, terminal });
const question = /Start on (\d+) instead\? \(y\/N\) /;

describe('a taken port that nobody chose', () => {
  test.each([
    ['Enter', '\r'],
    ['n', 'n\r'],
    ['Ctrl+C', '\u0003'],
  ])('%s: nothing is started', async (_, typed) => {
    const folder = await dataFolder({ prepared: false });
    await withDefaultPortTaken(async () => {
      const shown = screen(true);
      const refused = expect(start(settings(folder), shown)).rejects.toBeInstanceOf(PortTaken);
      await until('the question', () => question.test(shown.text));
      expect(shown.text).toMatch(/^✖ Port 8000 is in use by /);
      shown.type(typed);
      await refused;
      expect(processesOf(folder)).toEqual([]);
    });
  });

  test('Yes: it starts there, and every address says so', async () => {
    const folder = await dataFolder();
    await withDefaultPortTaken(async () => {
      const shown = screen(true);
      const starting = start(settings(folder), shown);
      await until('the question', () => question.test(shown.text));
      const offered = question.exec(shown.text)?.[1] ?? '';
      shown.type('y\r');
      const running = await starting;
      expect(running.app.addresses.http).toBe(`http://localhost:${offered}`);
      expect(shown.text).toContain(`  API               http://localhost:${offered}/api/v1\n`);
      await running.stop();
      expect(processesOf(folder)).toEqual([]);
    });
  });

  test('nobody is there to be asked: refused at once', async () => {
    const folder = await dataFolder({ prepared: false });
    await withDefaultPortTaken(async () => {
      const shown = screen(false);
      await expect(start(settings(folder), shown)).rejects.toBeInstanceOf(PortTaken);
      expect(shown.text).toBe('');
    });
  });
});

test('a taken port that was chosen: no question', async () => {
  const port = await freePort();
  const holder = createServer();
  await new Promise<void>((settle) => holder.listen({ port, host: '127.0.0.1' }, settle));
  const shown = screen(true);
  await expect(start({ ...settings(await dataFolder({ prepared: false })), PORT: `${port}` }, shown)).rejects.toBeInstanceOf(PortTaken);
  expect(shown.text).toBe('');
  holder.close();
});
