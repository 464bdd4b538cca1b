import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { commandActions, commandValidityMs } from '../../../src/bridge/protocol/commands.ts';
import { vectors } from './vectors.ts';

const root = new URL('../../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');
const page = read('docs/device-protocol.md');

describe('docs/device-protocol.md', () => {
  it('has the vectors as they are', () => {
    for (const [name, { bytes, sha256, payload }] of Object.entries(vectors.vectors)) {
      const found = new RegExp(`\\*\\*${name}\\*\\*.*: (\\d+) bytes, SHA-256 \`([0-9a-f]{64})\`\\n\\n\`\`\`json\\n(.*)\\n\`\`\``).exec(page);
      expect(found?.slice(1)).toEqual([String(bytes), sha256, payload]);
    }
    for (const [purpose, value] of Object.entries(vectors.keys)) expect(page).toContain(`| \`${purpose}\` | \`${value}\` |`);
    for (const value of [vectors.device_id, vectors.device_key, ...Object.values(vectors.rotation)]) expect(page).toContain(`\`${value}\``);
  });

  it('says of each action how long it is good', () => {
    for (const action of commandActions) {
      const row = page.split('\n').find((line) => line.startsWith(`| \`${action}\` | \`commands/`));
      expect(row?.split('|')[4]).toMatch(new RegExp(`^ ${commandValidityMs[action] / 1000} s`));
    }
  });

  it('lists thirty checks, and each has its test, on every wire', () => {
    const numbers = [...page.slice(page.indexOf('## Conformance')).matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number));
    expect(numbers).toEqual(Array.from({ length: 30 }, (_, n) => n + 1));
    const ofTheBox = numbers.filter((number) => number <= 26);
    const numbered = (tests: string) => (number: number) => tests.includes(`'${number}: `);
    const offWire = read('test/simulator/conformance.unit.test.ts') + read('test/simulator/conformance.int.test.ts');
    const onWire = read('test/contract/device-conformance.ts');
    for (const tests of [offWire, onWire]) expect(ofTheBox.filter((number) => !numbered(tests)(number))).toEqual([]);
    for (const wire of ['embedded.int', 'http.int', 'mosquitto.engine']) {
      const tests = read(`test/simulator/conformance-${wire}.test.ts`);
      expect(tests).toContain('deviceConformance(');
      if (wire === 'http.int') continue;
      expect(tests).toContain('serverConformance(');
      expect(numbered(tests)(30)).toBe(true);
    }
    expect(read('test/contract/server-conformance.ts')).toContain("'27 and 28: ");
    expect(read('test/e2e/server-conformance.unit.test.ts')).toContain("'27 and 28: ");
    expect(read('test/contract/mqtt.ts')).toContain("describe('29: foreign topics'");
  });

  it('links to what is there', () => {
    const anchors = new Set([...page.matchAll(/^#+ (.+)$/gm)].map(([, title]) => title!.toLowerCase().replace(/[^a-z0-9 -]/g, '').replaceAll(' ', '-')));
    for (const [, target] of page.matchAll(/\]\(([^)]+)\)/g)) {
      if (target!.startsWith('#')) expect(anchors, target).toContain(target!.slice(1));
      else expect(existsSync(new URL(target!, new URL('docs/', root))), target).toBe(true);
    }
    for (const [, path] of page.matchAll(/`((?:src|test|contracts)\/[\w./-]+)`/g)) expect(existsSync(new URL(path!, root)), path).toBe(true);
  });
});
