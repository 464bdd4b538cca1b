import type { Dice } from './dice.ts';
import { pause, type Model } from './model.ts';
import type { Crew } from './people.ts';
import type { Engine, Way, World } from './world.ts';

/** What goes wrong, in the middle of everything. It begins and ends; what it breaks for good is mended when it has. */
export interface Fault {
  readonly name: string;
  /** Why it cannot be had here, or undefined. */
  readonly missing?: (world: World) => string | undefined;
  readonly strike: (scene: Scene) => Promise<void>;
}

export interface Scene {
  readonly world: World;
  readonly model: Model;
  readonly crew: Crew;
  readonly dice: Dice;
}

// ── Processes and engines ─────────────────────────────────────────────────────────────────────────────────────────────

const processes: readonly Fault[] = [
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

function restartOf(engine: string): Fault {
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

// ── Network ───────────────────────────────────────────────────────────────────────────────────────────────────────────

function onAWay(name: string, strike: (way: Way, dice: Dice) => Promise<void>): Fault {
  return { name, strike: ({ world, dice }) => strike(dice.oneOf(world.ways), dice) };
}

const network: readonly Fault[] = [
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

export const faults: readonly Fault[] = [...processes, ...['PostgreSQL', 'EventStoreDB', 'Mosquitto', 'Kafka'].map(restartOf), ...network];
