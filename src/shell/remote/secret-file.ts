import { open, rm } from 'node:fs/promises';
import { RemoteFailure, remoteExit } from './client.ts';

export interface SecretFile {
  write(text: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * Made before anything is changed, and for nobody else to read: what the server says once must not be lost for want of a
 * file. Where nothing came to be in it, closing takes it away again.
 *
 * @throws RemoteFailure where it is there already, or cannot be made
 */
export async function newSecretFile(path: string): Promise<SecretFile> {
  const file = await open(path, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    throw new RemoteFailure(remoteExit.usage, error.code === 'EEXIST' ? `${path} is there already: it may hold the secrets of other boxes.` : `${path} cannot be written: ${error.message}.`);
  });
  let written = false;
  return {
    async write(text) {
      written = true;
      await file.writeFile(text);
      await file.sync();
    },
    async close() {
      await file.close();
      if (!written) await rm(path, { force: true });
    },
  };
}
