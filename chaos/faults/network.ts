import type { Dice } from '../dice.ts';
import type { Fault } from '../faults.ts';
import { pause } from '../model.ts';
import type { Way } from '../world.ts';

function onAWay(name: string, strike: (way: Way, dice: Dice) => Promise<void>): Fault {
  return { name, strike: ({ world, dice }) => strike(dice.oneOf(world.ways), dice) };
}

export const network: readonly Fault[] = [
  onAWay('connections cut', async ({ proxy }, dice) => {
    for (let times = dice.between(1, 5); times > 0; times--) {
      proxy.cut();
      await pause(dice.between(20, 300));
    }
  }),
  onAWay('network away', async ({ proxy }, dice) => {
    proxy.refuse();
    await pause(dice.between(300, 3_000));
    proxy.pass();
  }),
  onAWay('network stalled', async ({ proxy }, dice) => {
    proxy.stall();
    await pause(dice.between(300, 4_000));
    proxy.pass();
  }),
  onAWay('half-open connections', async ({ proxy }, dice) => {
    proxy.freeze();
    await pause(dice.between(500, 4_000));
    proxy.cut();
  }),
  onAWay('network slow', async ({ proxy }, dice) => {
    proxy.delay(dice.between(20, 400));
    await pause(dice.between(500, 3_000));
    proxy.delay(0);
  }),
];
