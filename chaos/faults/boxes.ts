import { powerCutSteps } from '../../src/simulator/firmware/options.ts';
import type { Dice } from '../dice.ts';
import type { Fault } from '../faults.ts';
import { pause, type Box } from '../model.ts';

/** At some of the boxes; what they say later of what was under way may be less than what they did. */
function atSomeBoxes(name: string, strike: (box: Box, dice: Dice) => void | Promise<void>): Fault {
  return {
    name,
    async strike({ model, dice }) {
      const some = dice.shuffled(model.boxes).slice(0, dice.between(1, model.boxes.length));
      await Promise.all(some.map(async (box) => strike(box, dice)));
      await pause(dice.between(500, 2_000));
    },
  };
}

const soon = (dice: Dice) => dice.between(50, 800);
const DAY_MS = 86_400_000;

export const atBoxes: readonly Fault[] = [
  atSomeBoxes('power of a box cut at a step of its firmware', ({ lockbox: { faults } }, dice) => faults.cutPowerAt(dice.oneOf(powerCutSteps), soon(dice))),
  atSomeBoxes('power of a box cut after a flash write', ({ lockbox: { faults } }, dice) => faults.cutPowerAfterCommits(dice.between(1, 5), soon(dice))),
  atSomeBoxes('flash of a box that takes no writes', ({ lockbox: { faults } }, dice) => faults.failCommits(dice.between(1, 4))),
  atSomeBoxes('box switched off for a while', async ({ lockbox, lapses }, dice) => {
    lapses.push(Date.now());
    lockbox.powerOff();
    await pause(dice.between(100, 3_000));
    lapses.push(Date.now());
    lockbox.powerOn();
  }),
  atSomeBoxes('journal of a box lost', async ({ lockbox, lapses }, dice) => {
    lockbox.powerOff();
    lockbox.faults.eraseJournal();
    lapses.push(Date.now());
    await pause(soon(dice));
    lapses.push(Date.now());
    lockbox.powerOn();
  }),
  atSomeBoxes('clock of a box set back or ahead', async ({ lockbox, lapses }, dice) => {
    lockbox.faults.setRtcSkew(dice.oneOf([-DAY_MS, DAY_MS, -Date.now(), 60_000]));
    // It is believed by nobody, least of all right after a start.
    if (!dice.chance(0.5)) return;
    lapses.push(Date.now());
    lockbox.powerOff();
    await pause(10);
    lockbox.powerOn();
  }),
  atSomeBoxes('bolt that jams', ({ lockbox: { faults } }, dice) => faults.bolt(dice.oneOf(['jammed', 'jammed_midway', 'no_movement', 'motor_fault'] as const), dice.oneOf(['jammed', 'jammed_midway', 'no_movement', 'motor_fault'] as const))),
];
