import { openSync, closeSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Fault } from '../faults.ts';
import { pause } from '../model.ts';

const CHUNK = Buffer.alloc(1_048_576);

export const onTheDisk: readonly Fault[] = [
  {
    name: 'disk full',
    missing: ({ smallDisk }) => (smallDisk === undefined ? 'the data folder has no file system of its own here' : undefined),
    async strike({ world, dice }) {
      const filler = join(world.smallDisk!, 'filler');
      const file = openSync(filler, 'w');
      try {
        fill(file);
        // What is freed meanwhile is taken as well.
        for (let left = dice.between(2, 8); left > 0; left--) {
          await pause(250);
          fill(file);
        }
      } finally {
        closeSync(file);
        rmSync(filler);
      }
      await pause(500);
    },
  },
];

function fill(file: number): void {
  for (let size = CHUNK.length; size >= 4_096; size /= 4) {
    try {
      for (;;) writeSync(file, CHUNK, 0, size);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  }
}

