import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { createErasureLedger } from '../../src/audit/erasure-ledger.ts';
import { isReceiptSignedBy, receiptOf, receiptStatement, signReceipt, type ErasureReceipt } from '../../src/audit/erasure-receipt.ts';
import { createHeadSigner } from '../../src/audit/heads.ts';

const folder = mkdtempSync(join(tmpdir(), 'loqey-test-receipt-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const signer = createHeadSigner(Buffer.alloc(32, 7));
const plain: ErasureReceipt = {
  format: 'loqey-erasure-receipt-1',
  log_id: '11111111-1111-4111-8111-111111111111',
  subject: 'user:0198c1d0-1a2b-7c3d-8e4f-5a6b7c8d9e0f',
  requested_by: 'owner',
  requested_at: '2026-11-21T10:00:00.000Z',
  event: { id: '22222222-2222-5222-8222-222222222222', stream: 'user-0198c1d0-1a2b-7c3d-8e4f-5a6b7c8d9e0f', revision: '10', position: '42' },
  completed_at: '2026-11-21T10:00:01.000Z',
  destroyed: { data_keys: 2, deliveries: 1, boxes: 1, statement: 'keys' },
  backups: { retention_days: 30, until: '2026-12-21T10:00:01.000Z', statement: 'backups' },
};
const receipt = signReceipt(signer, plain);

describe('the receipt of an erasure', () => {
  test('is signed over these very bytes, for ever', () => {
    expect(receiptStatement(receipt).toString()).toBe(
      'loqey-erasure-receipt-1\n{"backups":{"retention_days":30,"statement":"backups","until":"2026-12-21T10:00:01.000Z"},"completed_at":"2026-11-21T10:00:01.000Z",' +
        '"destroyed":{"boxes":1,"data_keys":2,"deliveries":1,"statement":"keys"},"event":{"id":"22222222-2222-5222-8222-222222222222","position":"42","revision":"10",' +
        '"stream":"user-0198c1d0-1a2b-7c3d-8e4f-5a6b7c8d9e0f"},"format":"loqey-erasure-receipt-1","kid":"' +
        `${signer.kid}","log_id":"11111111-1111-4111-8111-111111111111","requested_at":"2026-11-21T10:00:00.000Z","requested_by":"owner","subject":"user:0198c1d0-1a2b-7c3d-8e4f-5a6b7c8d9e0f"}\n`,
    );
    expect(isReceiptSignedBy(signer.publicKey, JSON.parse(JSON.stringify(receipt)) as typeof receipt)).toBe(true);
  });

  test('does not hold once anything in it is another, or with another key', () => {
    const changed = [
      { ...receipt, subject: 'user:0198c1d0-1a2b-7c3d-8e4f-5a6b7c8d9e00' },
      { ...receipt, event: { ...receipt.event, revision: '11' } },
      { ...receipt, backups: { ...receipt.backups, until: '2026-12-01T10:00:01.000Z' } },
      { ...receipt, note: 'added' },
      { ...receipt, kid: '0'.repeat(16) },
    ];
    for (const each of changed) expect(isReceiptSignedBy(signer.publicKey, each)).toBe(false);
    expect(isReceiptSignedBy(createHeadSigner(Buffer.alloc(32, 8)).publicKey, receipt)).toBe(false);
    for (const other of [undefined, null, 1, 'x', {}, { ...receipt, format: 'loqey-erasure-receipt-2' }, { ...receipt, subject: 'device:1' }, plain]) expect(receiptOf(other)).toBeUndefined();
  });

  test('is checked by the verifier that needs nothing of this project', async () => {
    const [file, key] = [join(folder, 'receipt.json'), join(folder, 'key.pem')];
    writeFileSync(key, signer.publicKey.export({ format: 'pem', type: 'spki' }));
    const run = () => promisify(execFile)(process.execPath, [join(import.meta.dirname, '../../verify/loqey-verify.mjs'), '--receipt', file, '--public-key', key]);
    writeFileSync(file, JSON.stringify(receipt, undefined, 2));
    expect((await run()).stdout).toMatch(/^OK: user:0198c1d0-1a2b-7c3d-8e4f-5a6b7c8d9e0f was erased/);
    writeFileSync(file, JSON.stringify({ ...receipt, completed_at: '2026-11-20T10:00:01.000Z' }));
    await expect(run()).rejects.toMatchObject({ code: 3 });
    writeFileSync(file, JSON.stringify({ format: 'x' }));
    await expect(run()).rejects.toMatchObject({ code: 2 });
  });
});

describe('the ledger', () => {
  test('has each erasure once, and reads over what a crash cut off', async () => {
    const ledger = createErasureLedger(join(folder, 'audit'));
    expect(await ledger.read()).toEqual([]);
    await ledger.add(receipt);
    await ledger.add(receipt);
    writeFileSync(ledger.path, `${JSON.stringify(receipt)}\n{"format":"loqey-eras`);
    const other = signReceipt(signer, { ...plain, event: { ...plain.event, id: '33333333-3333-5333-8333-333333333333' } });
    await ledger.add(other);
    await ledger.add(receipt);
    expect(await ledger.read()).toEqual([receipt, other]);
  });
});
