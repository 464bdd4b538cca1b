import { mkdir, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';

/** A file of JSON objects, one a line, oldest first, read as a whole. A line that is none, or not one that `take` knows, is passed over. */
export async function readLines<T>(path: string, take: (value: unknown) => T | undefined): Promise<T[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return text.split('\n').flatMap((line) => {
    try {
      return take(JSON.parse(line)) ?? [];
    } catch {
      return []; // an empty line, or one that a crash cut off
    }
  });
}

/** On disk when it resolves. A line that a crash cut off is left as it is, on a line of its own; what it was comes again. */
export async function appendLines(path: string, objects: readonly object[]): Promise<void> {
  if (objects.length === 0) return;
  await mkdir(dirname(path), { recursive: true });
  const before = await readFile(path, 'utf8').catch(() => '');
  const start = before === '' || before.endsWith('\n') ? '' : '\n';
  const file = await open(path, 'a', 0o644);
  try {
    await file.write(start + objects.map((each) => `${JSON.stringify(each)}\n`).join(''));
    await file.sync();
  } finally {
    await file.close();
  }
}
