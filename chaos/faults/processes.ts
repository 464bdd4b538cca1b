import type { Fault } from '../faults.ts';
import { pause } from '../model.ts';
import type { Engine, World } from '../world.ts';

export const processes: readonly Fault[] = [
  {
    name: 'kill -9 of a process',
    async strike({ world, dice }) {
      const role = dice.oneOf(world.roles);
      await role.kill();
      await pause(dice.between(0, 500));
      await role.start();
    },
  },
  {
    name: 'kill -9 of a process and of a store',
    async strike({ world, dice }) {
      const role = dice.oneOf(world.roles);
      const crash = dice.oneOf(world.engines).crash(dice.between(0, 1_000));
      await pause(dice.between(0, 300));
      await role.kill();
      await crash;
      await role.start();
    },
  },
  {
    name: 'stop in the middle of traffic',
    async strike({ world, model, dice }) {
      const role = dice.oneOf(world.roles);
      const code = await role.stop();
      if (code !== 0) model.troubles.push(`${role.name} ended with exit code ${code} when it was told to stop`);
      await role.start();
    },
  },
  {
    name: 'process frozen',
    async strike({ world, dice }) {
      const role = dice.oneOf(world.roles);
      role.freeze();
      await pause(dice.between(300, 3_000));
      role.thaw();
    },
  },
];

export function restartOf(engine: string): Fault {
  const find = ({ engines }: World): Engine | undefined => engines.find(({ name }) => name === engine);
  return {
    name: `restart of ${engine}`,
    missing: (world) => (find(world) === undefined ? `no ${engine} in this set-up` : undefined),
    async strike({ world, dice }) {
      await find(world)!.crash(dice.between(0, 2_000));
      await pause(500);
    },
  };
}

export const slowEngine: Fault = {
  name: 'Kafka slow',
  missing: ({ engines }) => (engines.some(({ slow }) => slow !== undefined) ? undefined : 'no Kafka in this set-up'),
  async strike({ world, dice }) {
    const engine = world.engines.find(({ slow }) => slow !== undefined)!;
    await engine.slow!(dice.between(50, 1_000));
    await pause(dice.between(500, 3_000));
    await engine.slow!(0);
  },
};
