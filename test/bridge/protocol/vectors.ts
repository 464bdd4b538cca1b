import { readFileSync } from 'node:fs';
import { deriveKeys } from '../../../src/bridge/protocol/keys.ts';
import type { ReportKind } from '../../../src/bridge/protocol/signature.ts';

/** The test vectors of the device protocol, as every implementation of it must reproduce them. */
export interface Vectors {
  readonly device_id: string;
  readonly device_key: string;
  readonly key_version: number;
  readonly keys: Readonly<Record<'mqtt' | 'cmd' | 'rpt' | 'enc' | 'http', string>>;
  readonly rotation: { readonly iv: string; readonly plaintext: string; readonly cmd_of_version_2: string };
  readonly vectors: Readonly<Record<'V1' | 'V2' | 'V3' | 'V4' | 'V5', Vector>>;
}

interface Vector {
  readonly name: string;
  readonly kind?: ReportKind;
  readonly bytes: number;
  readonly sha256: string;
  readonly payload: string;
}

export const vectors = JSON.parse(readFileSync(new URL('../../../contracts/mqtt/vectors.json', import.meta.url), 'utf8')) as Vectors;

export const vectorDeviceId = vectors.device_id;
export const vectorMasterKey = Buffer.from(vectors.device_key, 'hex');
export const vectorKeys = deriveKeys(vectorMasterKey, vectors.device_id, vectors.key_version);

export function vectorPayload(name: keyof Vectors['vectors']): Buffer {
  return Buffer.from(vectors.vectors[name].payload, 'utf8');
}
