import { createLockbox } from '../../src/simulator/lockbox.ts';
import { courierRound, faultsOf } from '../../test/support/couriers.ts';
import { claim, newOwner, registerBox, signInAdmin } from '../../test/support/people.ts';
import { admin } from '../support/cast.ts';
import { measuredOnce, type Figure } from '../support/figure.ts';

const COURIERS = 20;
const MAX_USES = 3;
const BOXES = 10;
const BOLT_MS = [5, 50] as const;

/**
 * Twenty couriers at the same instant, each with a key of their own, on a link for three uses: exactly three openings one
 * after another, seventeen times "already used", in every round, or this fails. Several boxes take turns.
 */
export const couriers: Figure = {
  name: 'couriers',
  about: 'Twenty couriers at the same instant on a link for three uses, until all are answered; beside three movements of the bolt.',
  beyond: 'Each opening waits for the one before it to be confirmed, and seventeen refusals are decided and recorded beside them.',
  engines: ['embedded', 'real'],
  async run(bench) {
    const { server } = await bench.rig();
    const asAdmin = await signInAdmin(server.url, admin);
    const owner = await newOwner(server.url);
    const boxes = await Promise.all(
      Array.from({ length: BOXES }, async () => {
        const registered = await registerBox(asAdmin);
        const box = createLockbox({ provisioning: registered.provisioning, firstConnectWithinMs: 0, boltMs: BOLT_MS, rate: { perSecond: Infinity, burst: Infinity } });
        await box.start();
        await box.ready();
        await claim(owner, registered);
        return box;
      }),
    );
    const took: number[] = [];
    try {
      for (let round = 0; round < bench.size.courierRounds; round++) {
        const result = await courierRound({ url: server.url, owner, box: boxes[round % boxes.length]!, couriers: COURIERS, maxUses: MAX_USES });
        const faults = faultsOf(result, { couriers: COURIERS, maxUses: MAX_USES });
        if (faults.length > 0) throw new Error(`Round ${round + 1} of the couriers: ${faults.join('; ')}`);
        took.push(result.ms);
      }
    } finally {
      await Promise.all(boxes.map((box) => box.stop()));
    }
    const bolts = MAX_USES * ((BOLT_MS[0] + BOLT_MS[1]) / 2);
    return [measuredOnce({ figure: 'couriers', what: `${COURIERS} couriers, ${MAX_USES} uses: all answered`, unit: 'ms', values: took, limit: { what: 'the bolt’s own movements, on average', values: took.map(() => bolts) } })];
  },
};
