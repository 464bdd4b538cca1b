import { Type } from 'typebox';
import type { SignedHead } from '../../projections/proof/proofs.ts';
import type { Api } from '../api.ts';
import { invalid, notFound } from '../errors.ts';
import { listRoute } from '../paging.ts';
import { admin, route, type Route } from '../route.ts';
import { Closed, Id } from '../schemas/common.ts';
import { ConsistencyProof, EventProof, Head, HeadSize, Keys } from '../schemas/proof.ts';

const reader = admin('audit:read');

/** What shows to others that the log is what it was. A new head is made by the job `audit.heads`, also at once: `runJob`. */
export const adminProofRoutes: readonly Route[] = [
  listRoute({
    id: 'proofHeads',
    tag: 'admin',
    summary: 'Signed heads of the log, newest first: keep some where nobody who can write to the database can',
    path: '/admin/proof/heads',
    access: reader,
    row: Head,
    size: 100,
    most: 1_000,
  })(async (_call, { deps }, page) => {
    const { rows, total } = await deps.proofs.heads(page);
    return { rows: rows.map(headView), total };
  }),

  route({
    id: 'proofKeys',
    tag: 'admin',
    summary: 'The public keys that heads are signed by, and the identity of the log: what a verifier needs, kept elsewhere once',
    method: 'GET',
    path: '/admin/proof/keys',
    access: reader,
    replies: { 200: Keys },
  })(async (_call, { deps }) => {
    const keys = await deps.proofs.keys();
    return {
      status: 200,
      body: { log_id: deps.logId, keys: keys.map(({ kid, x, pem }) => ({ kid, kty: 'OKP' as const, crv: 'Ed25519' as const, alg: 'EdDSA' as const, use: 'sig' as const, x, pem })) },
    };
  }),

  route({
    id: 'proofOfEvent',
    tag: 'admin',
    summary: 'Proof that one event was in the log when a head was signed; for `loqey-verify.mjs --proof`',
    method: 'GET',
    path: '/admin/proof/events/{event_id}',
    access: reader,
    params: Closed({ event_id: Id }),
    query: Closed({ size: Type.Optional(HeadSize) }),
    replies: { 200: EventProof },
    errors: [404],
  })(async (call, api) => {
    const head = await headOf(api, 'size', call.query.size);
    const proof = await api.deps.proofs.ofEvent(call.params.event_id.toLowerCase(), head);
    if (proof === undefined) throw notFound(`This event is not among the ${head.size} that were signed at ${head.time}`);
    return { status: 200, body: { ...proof, event: { ...proof.event, data: { ...proof.event.data }, metadata: { ...proof.event.metadata } }, path: [...proof.path], head: headView(proof.head) } };
  }),

  route({
    id: 'proofOfConsistency',
    tag: 'admin',
    summary: 'Proof that the log of a later head begins with the log of an earlier one; for `loqey-verify.mjs --consistency`',
    method: 'GET',
    path: '/admin/proof/consistency',
    access: reader,
    query: Closed({ from: HeadSize, to: Type.Optional(HeadSize) }),
    replies: { 200: ConsistencyProof },
    errors: [404],
  })(async (call, api) => {
    const { from, to } = call.query;
    if (to !== undefined && to < from) throw invalid('to', 'must not be smaller than from');
    const [earlier, later] = [await headOf(api, 'from', from), await headOf(api, 'to', to)];
    const proof = await api.deps.proofs.between(earlier, later);
    return { status: 200, body: { logId: proof.logId, from: headView(proof.from), to: headView(proof.to), path: [...proof.path] } };
  }),
];

async function headOf({ deps }: Api, name: string, size: number | undefined): Promise<SignedHead> {
  const head = await deps.proofs.head(size);
  if (head !== undefined) return head;
  throw notFound(size === undefined ? 'Nothing is signed yet: the job audit.heads does that every ten minutes' : `No head of ${size} events was signed (${name})`);
}

const headView = ({ size, root, time, kid, signature }: SignedHead) => ({ size, root, time, kid, signature });
