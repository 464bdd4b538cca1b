import { Type } from 'typebox';
import { Closed, Id, Time } from './common.ts';

const Hash = Type.String({ pattern: '^[0-9a-f]{64}$', description: 'SHA-256, lower hex.' });
const Size = Type.Integer({ minimum: 0, description: 'Events of the log that the tree covers.' });

/** Of a head: in a query. */
export const HeadSize = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: '`size` of a signed head.' });

export const Head = Closed(
  { size: Size, root: Hash, time: Time, kid: Type.String({ description: 'Which key signed it.' }), signature: Type.String({ description: 'Ed25519, base64url, over `loqey-audit-head-1\\n<logId>\\n<size>\\n<root>\\n<time>\\n`.' }) },
  { title: 'SignedHead' },
);

export const Keys = Closed(
  {
    log_id: Id,
    keys: Type.Array(
      Closed({
        kid: Type.String({ description: "The first 16 hex digits of the SHA-256 of the key's 32 bytes." }),
        kty: Type.Literal('OKP'),
        crv: Type.Literal('Ed25519'),
        alg: Type.Literal('EdDSA'),
        use: Type.Literal('sig'),
        x: Type.String(),
        pem: Type.String({ description: 'The same key for programs that read PEM.' }),
      }),
      { description: 'A JWK set; the newest key is the last.' },
    ),
  },
  { title: 'ProofKeys' },
);

const JsonObject = Type.Unsafe<Record<string, unknown>>({ type: 'object', description: 'As it is in the log: what is personal is sealed.' });

/** The file that verify/loqey-verify.mjs takes: names as verify/README.md has them. */
export const EventProof = Closed(
  {
    logId: Id,
    event: Closed({ stream: Type.String(), revision: Type.String(), eventId: Id, type: Type.String(), data: JsonObject, metadata: JsonObject }),
    index: Type.Integer({ minimum: 0 }),
    size: Size,
    path: Type.Array(Hash, { description: 'RFC 9162 §2.1.3.' }),
    head: Head,
  },
  { title: 'EventProof' },
);

export const ConsistencyProof = Closed({ logId: Id, from: Head, to: Head, path: Type.Array(Hash, { description: 'RFC 9162 §2.1.4.' }) }, { title: 'ConsistencyProof' });
