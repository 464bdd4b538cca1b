import type { Dice } from './dice.ts';
import { atBoxes } from './faults/boxes.ts';
import { byClients } from './faults/clients.ts';
import { onTheDisk } from './faults/disk.ts';
import { messages } from './faults/messages.ts';
import { network } from './faults/network.ts';
import { processes, restartOf, slowEngine } from './faults/processes.ts';
import type { Model } from './model.ts';
import type { Crew } from './people.ts';
import type { World } from './world.ts';

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

export const faults: readonly Fault[] = [
  ...processes,
  ...['PostgreSQL', 'EventStoreDB', 'Mosquitto', 'Kafka'].map(restartOf),
  slowEngine,
  ...network,
  ...messages,
  ...atBoxes,
  ...byClients,
  ...onTheDisk,
];
