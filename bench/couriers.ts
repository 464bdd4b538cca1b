import { parseArgs } from 'node:util';
import { table } from '../src/shell/terminal.ts';
import { createLockbox } from '../src/simulator/lockbox.ts';
import { courierRound, faultsOf } from '../test/support/couriers.ts';
import { claim, newOwner, registerBox, signInAdmin } from '../test/support/people.ts';
import { spread } from './support/figures.ts';
import { startBenchServer } from './support/server.ts';

/**
 * Twenty couriers at the same instant, each with a key of their own, on a link for three uses, at a box that answers
 * within 50 ms: exactly three openings one after another, seventeen times "already used", in every round. Several boxes
 * take turns, because each may send only five messages a second in the long run, and says two or three for each opening.
 */
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '200' },
    couriers: { type: 'string', default: '20' },
    uses: { type: 'string', default: '3' },
    boxes: { type: 'string', default: '40' },
  },
});
const rounds = Number(values.rounds);
const couriers = Number(values.couriers);
const maxUses = Number(values.uses);

const server = await startBenchServer();
const admin = await signInAdmin(server.url, server.admin);
const owner = await newOwner(server.url);
const boxes = [];
for (let index = 0; index < Number(values.boxes); index++) {
  const registered = await registerBox(admin);
  const box = createLockbox({ provisioning: registered.provisioning, firstConnectWithinMs: 0, boltMs: [5, 50] });
  await box.start();
  await box.ready();
  await claim(owner, registered);
  boxes.push(box);
}

const faulty: string[] = [];
const took: number[] = [];
for (let round = 0; round < rounds; round++) {
  const result = await courierRound({ url: server.url, owner, box: boxes[round % boxes.length]!, couriers, maxUses });
  took.push(result.ms);
  const faults = faultsOf(result, { couriers, maxUses });
  if (faults.length > 0) faulty.push(`round ${round + 1} (${Math.round(result.ms)} ms): ${faults.join('; ')}`);
}
await Promise.all(boxes.map((box) => box.stop()));
await server.stop();

const { p50, p99 } = spread(took);
process.stdout.write(
  `${table(
    ['rounds', 'couriers', 'uses', 'as they must be', 'all answered, p50', 'p99'],
    [[rounds, couriers, maxUses, rounds - faulty.length, `${Math.round(p50)} ms`, `${Math.round(p99)} ms`]],
  )}\n${faulty.map((line) => `✖ ${line}\n`).join('')}`,
);
process.exit(faulty.length > 0 ? 1 : 0);
