import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createHeadFile } from '../../src/audit/head-file.ts';
import { createHeadSigner, rawOf, type SignedHead } from '../../src/audit/heads.ts';
import { isCovered, leafHash, Tree } from '../../src/audit/merkle.ts';
import { createEventStoreDb } from '../../src/platform/event-store/eventstoredb.ts';
import type { RecordedEvent } from '../../src/platform/event-store/port.ts';
import { silentLogger } from '../../src/platform/logger.ts';
import { Metrics } from '../../src/platform/metrics.ts';
import { ensureLogIdentity } from '../../src/projections/log-identity.ts';
import { createProofs, publishKey } from '../../src/projections/proof/proofs.ts';
import type { ProofQueries } from '../../src/projections/proof/queries.ts';
import { createTerminal } from '../../src/shell/terminal.ts';
import { auditVerify } from '../../src/shell/verify.ts';
import { history } from '../projections/histories.ts';
import { describeWithServer } from '../support/optional-server.ts';
import { fakeVault, sealed, toAppend } from '../support/read-side.ts';
import { eventStoreDbMissing, startEventStoreDb, type EventStoreDbServer } from '../support/servers-eventstoredb.ts';

describeWithServer('eventstoredb', eventStoreDbMissing(), 'a log in EventStoreDB', () => {
  const folder = mkdtempSync(join(tmpdir(), 'loqey-heads-'));
  const signer = createHeadSigner(randomBytes(32));
  const heads: SignedHead[] = [];
  const covered: RecordedEvent[] = [];
  let server: EventStoreDbServer;
  let logId: string;
  const open = () => createEventStoreDb({ connectionString: server.url, logger: silentLogger, metrics: new Metrics() });

  beforeAll(async () => {
    server = await startEventStoreDb();
    const store = open();
    await store.start();
    logId = await ensureLogIdentity(store, '0.0.0-test', () => '2026-11-21T10:00:00.000Z');
    const vault = fakeVault();
    for (const { stream, events } of history(1, 20)) await store.append(stream, 'any', events.map((event) => toAppend(sealed(vault, event), '2026-11-21T10:00:00.000Z')));
    const tree = new Tree();
    for await (const event of store.readAll()) {
      if (!isCovered(event.stream)) continue;
      tree.add(leafHash(event));
      covered.push(event);
    }
    heads.push(signer.sign(logId, { size: tree.size, root: tree.root, time: '2026-11-21T10:00:01.000Z' }));
    await publishKey(store, { kid: signer.kid, x: rawOf(signer.publicKey) });
    await store.stop();
    const archive = createHeadFile(folder);
    await archive.publish(signer.publicKey);
    await archive.append(heads);
  }, 60_000);
  afterAll(async () => {
    await server?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  async function verify(headsFile: string): Promise<{ code: number; finding?: string }> {
    const stdout = new PassThrough();
    const words = text(stdout);
    const terminal = createTerminal({ json: true, stdout, stderr: new PassThrough(), color: false });
    const code = await auditVerify({ environ: { DATA_DIR: join(folder, 'none') }, version: '0' }, { heads: headsFile, publicKey: join(folder, 'public-key.pem'), backup: server.url }, terminal);
    stdout.end();
    return { code, ...(JSON.parse(await words) as object) };
  }

  it('is verified by its URL, and cut where more was signed', async () => {
    expect(await verify(join(folder, 'heads.ndjson'))).toMatchObject({ code: 0, ok: true, holds_up_to: covered.length });
    const more = createHeadFile(join(folder, 'more'));
    await more.append([signer.sign(logId, { ...heads[0]!, size: covered.length + 1 })]);
    expect(await verify(more.path)).toMatchObject({ code: 3, finding: 'cut' });
  });

  it('has the public key beside its heads, and gives the event that a proof is of', async () => {
    const store = open();
    await store.start();
    const queries = {
      inclusion: async (eventId: string) => {
        const index = covered.findIndex((event) => event.eventId === eventId);
        return index === -1 ? undefined : { index, position: covered[index]!.position, size: covered.length, leaf: '', path: [] };
      },
      leaves: async (from: number, limit: number) => covered.slice(from, from + limit).map((event, n) => ({ index: from + n, position: event.position, hash: leafHash(event) })),
    } as Partial<ProofQueries> as ProofQueries;
    const proofs = createProofs({ store, queries, logId });
    expect((await proofs.keys()).map(({ kid }) => kid)).toEqual([signer.kid]);
    for (const index of [0, 7, covered.length - 1]) {
      const { stream, revision, eventId, type } = covered[index]!;
      expect((await proofs.ofEvent(eventId, heads[0]!))?.event).toMatchObject({ stream, revision: String(revision), eventId, type });
    }
    await store.stop();
  });
});
