#!/usr/bin/env node
// Holds an export of a Loqey log against signed heads. Needs Node 18 or later and nothing else: read it, it is short.
// The formats are in README.md beside it. Exit code: 0 it is what was signed, 3 it is not, 2 wrong use or files that cannot be read.

import { createHash, createPublicKey, verify } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';

const USAGE = `usage: node loqey-verify.mjs --export <log.ndjson> --heads <heads.ndjson> --public-key <public-key.pem>
       node loqey-verify.mjs --proof <proof.json>  [--heads <heads.ndjson>] --public-key <public-key.pem>
       node loqey-verify.mjs --consistency <consistency.json> [--heads <heads.ndjson>] --public-key <public-key.pem>
       node loqey-verify.mjs --receipt <receipt.json> --public-key <public-key.pem>`;

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();
const parent = (left, right) => sha256('\x01', left, right);

/** RFC 8785. */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  return `{${Object.keys(value)
    .sort()
    .map((name) => `${JSON.stringify(name)}:${canonical(value[name])}`)
    .join(',')}}`;
}

/** RFC 6962 §2.1, over these six members of an event. */
function leafOf({ stream, revision, eventId, type, data, metadata }) {
  return sha256('\0', canonical({ stream, revision: String(revision), eventId, type, data, metadata }));
}

const covered = (stream) => stream !== 'system-log' && stream !== 'audit-head' && !stream.startsWith('$');

/** One hash for each complete subtree, the largest first. */
class Tree {
  size = 0;
  peaks = [];
  add(leaf) {
    let top = leaf;
    for (let bits = this.size; bits % 2 === 1; bits = (bits - 1) / 2) top = parent(this.peaks.pop(), top);
    this.peaks.push(top);
    this.size += 1;
  }
  root() {
    if (this.size === 0) return sha256('').toString('hex');
    let root = this.peaks[this.peaks.length - 1];
    for (let i = this.peaks.length - 2; i >= 0; i--) root = parent(this.peaks[i], root);
    return root.toString('hex');
  }
}

function isSigned(head, logId, key) {
  const statement = `loqey-audit-head-1\n${logId}\n${head.size}\n${head.root}\n${head.time}\n`;
  return verify(null, Buffer.from(statement), key, Buffer.from(head.signature, 'base64url'));
}

function headsIn(path) {
  const heads = readFileSync(path, 'utf8').split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line)];
    } catch {
      return []; // an empty line, or one that a power cut tore
    }
  });
  if (heads.length === 0) fail(`There is no head in ${path}.`);
  return heads.sort((a, b) => a.size - b.size);
}

const place = (position) => (position === undefined ? 'its beginning' : `position ${position}`);

/**
 * Where an export was changed, as far as it says so itself; since the last head that holds. Revisions are part of the leaves
 * and count from 0 in each stream: a gap is a difference. The numbers and hashes beside the events were signed by nobody.
 */
class Signs {
  streams = new Map();
  size = 0;
  hashed = false;
  numbered = false;
  add({ stream, revision, position, index, leaf }, isLeaf) {
    const { revision: last = -1, position: since } = this.streams.get(stream) ?? {};
    const own = Number(revision);
    if (own > last + 1) this.gap ??= { position, words: `The stream ${stream} lacks its revision ${last + 1}, which was after ${place(since)} and before position ${position}.` };
    if (own < last + 1) this.gap ??= { position, words: `The stream ${stream} has its revision ${own} once more at position ${position}; before that it was at ${place(since)}.` };
    const before = BigInt(position) - BigInt(this.position ?? 0);
    if (leaf === undefined ? this.hashed || index !== undefined : !isLeaf) this.sign ??= `position ${position}`;
    else if (before <= 0n || (index === undefined ? this.numbered : index < this.size)) this.sign ??= `position ${position}`;
    else if (index > this.size) this.sign ??= before === 2n ? `position ${BigInt(position) - 1n}` : `a place after ${place(this.position)} and before position ${position}`;
    this.streams.set(stream, { revision: own, position });
    this.position = position;
    this.size = (index ?? this.size) + 1;
    this.hashed ||= leaf !== undefined;
    this.numbered ||= index !== undefined;
  }
  forget() {
    this.gap = this.sign = undefined;
  }
  words() {
    return `${this.gap ? ` ${this.gap.words}` : ''}${this.sign ? ` What the export says of itself, which nobody signed, does not fit at ${this.sign}.` : ''}`;
  }
}

async function verifyExport(path, heads, key) {
  const tree = new Tree();
  const signs = new Signs();
  let logId;
  let next = 0;
  let holds;
  let held;
  const meet = () => {
    for (; next < heads.length && heads[next].size === tree.size; next++) {
      const head = heads[next];
      if (!isSigned(head, logId, key)) fail(`The head of ${head.size} events, ${head.time}, is not signed by this key for this log.`);
      if (head.root !== tree.root()) fail(`The log differs from what was signed at ${head.time}: after ${place(held)} and not later than position ${(signs.gap ?? signs).position}.${signs.words()}`);
      holds = head;
      held = signs.position;
      signs.forget();
    }
  };
  for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Infinity })) {
    if (line === '') continue;
    const event = JSON.parse(line);
    if (logId === undefined) {
      if (event.format !== 'loqey-log-export-1') throw new Error(`${path} is no export of a log: its first line must say "format":"loqey-log-export-1".`);
      logId = event.logId;
      meet();
      continue;
    }
    if (!covered(event.stream)) continue;
    const leaf = leafOf(event);
    tree.add(leaf);
    signs.add(event, event.leaf === leaf.toString('hex'));
    meet();
  }
  if (logId === undefined) fail(`${path} is empty.`);
  if (next < heads.length) {
    const end = ` Nothing that is there shows a gap: it may be the end that is missing, after ${place(signs.position)}.`;
    fail(`The log has ${tree.size} events; ${heads[next].size} were signed at ${heads[next].time}.${holds ? ` Up to event ${holds.size}, position ${held}, it is what it was.` : ''}${signs.words() || end}`);
  }
  if (signs.words()) fail(`What is signed of the log holds, up to event ${holds.size} at ${holds.time}; what came after it does not fit together.${signs.words()}`);
  process.stdout.write(`OK: ${tree.size} events are what was signed, up to event ${holds.size} at ${holds.time}.${tree.size > holds.size ? ` ${tree.size - holds.size} after it are not signed yet.` : ''}\n`);
}

/** The head of so many events: the one from outside if there is any, else the one that came with the proof. */
function headOf(size, heads, own, logId, key) {
  const head = heads?.find((each) => each.size === size) ?? own;
  if (head === undefined || head.size !== size) fail(`There is no head of ${size} events.`);
  if (!isSigned(head, logId, key)) fail(`The head of ${size} events is not signed by this key for this log.`);
  return head;
}

const inItself = (heads) => (heads === undefined ? ' The head came with the proof: --heads takes those that you kept.' : '');

/** RFC 9162 §2.1.3.2. */
function verifyProof(path, heads, key) {
  const { logId, event, index, size, path: given, head: own } = JSON.parse(readFileSync(path, 'utf8'));
  const head = headOf(size, heads, heads === undefined ? own : undefined, logId, key);
  if (!Number.isSafeInteger(index) || index < 0 || index >= size) fail('The proof is of no event of that tree.');
  let hash = leafOf(event);
  let fn = index;
  let sn = size - 1;
  for (const hex of given) {
    if (sn === 0) fail('The proof is too long.');
    const other = Buffer.from(hex, 'hex');
    if (fn % 2 === 1 || fn === sn) {
      hash = parent(other, hash);
      while (fn % 2 === 0 && fn !== 0) [fn, sn] = [fn / 2, Math.floor(sn / 2)];
    } else hash = parent(hash, other);
    [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)];
  }
  if (sn !== 0 || hash.toString('hex') !== head.root) fail(`The event is not in the log that was signed at ${head.time}.`);
  process.stdout.write(`OK: the event was in the log when it was signed at ${head.time}: number ${index + 1} of ${size}.${inItself(heads)}\n`);
}

/** RFC 9162 §2.1.4.2. */
function verifyConsistency(path, heads, key) {
  const { logId, from: ownFrom, to: ownTo, path: given } = JSON.parse(readFileSync(path, 'utf8'));
  // What was kept is what the later one is held against; that one may have come just now.
  const from = headOf(ownFrom.size, heads, heads === undefined ? ownFrom : undefined, logId, key);
  const to = headOf(ownTo.size, heads, ownTo, logId, key);
  const differs = () => fail(`The log that was signed at ${to.time} (${to.size} events) does not begin with the one of ${from.time} (${from.size}).`);
  if (from.size < 1 || from.size > to.size) differs();
  let hashes = given.map((hex) => Buffer.from(hex, 'hex'));
  if (from.size === to.size) {
    if (hashes.length > 0 || from.root !== to.root) differs();
  } else {
    // A whole subtree begins both: it is not repeated in the path.
    if (Number.isInteger(Math.log2(from.size))) hashes = [Buffer.from(from.root, 'hex'), ...hashes];
    let [fn, sn] = [from.size - 1, to.size - 1];
    while (fn % 2 === 1) [fn, sn] = [(fn - 1) / 2, Math.floor(sn / 2)];
    if (hashes.length === 0) differs();
    let [fr, sr] = [hashes[0], hashes[0]];
    for (const other of hashes.slice(1)) {
      if (sn === 0) differs();
      if (fn % 2 === 1 || fn === sn) {
        [fr, sr] = [parent(other, fr), parent(other, sr)];
        while (fn % 2 === 0 && fn !== 0) [fn, sn] = [fn / 2, Math.floor(sn / 2)];
      } else sr = parent(sr, other);
      [fn, sn] = [Math.floor(fn / 2), Math.floor(sn / 2)];
    }
    if (sn !== 0 || fr.toString('hex') !== from.root || sr.toString('hex') !== to.root) differs();
  }
  process.stdout.write(`OK: the log of ${to.size} events (${to.time}) begins with the one of ${from.size} (${from.time}): nothing of it was changed, only added.${inItself(heads)}\n`);
}

/** Of the erasure of a person. */
function verifyReceipt(path, key) {
  const { signature = '', ...receipt } = JSON.parse(readFileSync(path, 'utf8'));
  if (receipt.format !== 'loqey-erasure-receipt-1') throw new Error(`${path} is no receipt of an erasure`);
  const statement = `loqey-erasure-receipt-1\n${canonical(receipt)}\n`;
  if (!verify(null, Buffer.from(statement), key, Buffer.from(signature, 'base64url'))) fail('The receipt is not signed by this key, or was changed.');
  process.stdout.write(`OK: ${receipt.subject} was erased, completed at ${receipt.completed_at}; event ${receipt.event.id}. Backups hold the data until ${receipt.backups.until}.\n`);
}

function fail(message) {
  process.stderr.write(`NOT OK: ${message}\n`);
  process.exit(3);
}

function optionsOf(args) {
  try {
    const text = { type: 'string' };
    return parseArgs({ args, options: { export: text, proof: text, consistency: text, receipt: text, heads: text, 'public-key': text, help: { type: 'boolean', short: 'h' } } }).values;
  } catch (error) {
    process.stderr.write(`${error.message}\n`);
    return {};
  }
}

const given = optionsOf(process.argv.slice(2));
if (given.help) {
  process.stdout.write(`Holds what Loqey's log gave away against what was signed; needs nothing of Loqey. Exit code 0: it is what was signed. 2: usage. 3: it is not.\n\n${USAGE}\n`);
  process.exit(0);
}
const what = ['export', 'proof', 'consistency', 'receipt'].filter((name) => given[name]);
if (what.length !== 1 || !given['public-key'] || (given.export && !given.heads)) {
  process.stderr.write(`${USAGE}\n`);
  process.exit(2);
}
try {
  const key = createPublicKey(readFileSync(given['public-key']));
  const heads = given.heads && headsIn(given.heads);
  if (given.export) await verifyExport(given.export, heads, key);
  else if (given.proof) verifyProof(given.proof, heads, key);
  else if (given.receipt) verifyReceipt(given.receipt, key);
  else verifyConsistency(given.consistency, heads, key);
} catch (error) {
  process.stderr.write(`These files cannot be checked: ${error.message}\n`);
  process.exit(2);
}
