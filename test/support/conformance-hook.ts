import type { conformance } from './conformance.ts';

/**
 * Loaded before every test that may talk to a server: whatever `fetch` brings from the API is held against what its route
 * declares, and an answer that is not as declared fails the test that asked for it.
 */
const fetched = globalThis.fetch;
let check: Promise<ReturnType<typeof conformance>> | undefined;

globalThis.fetch = async (input, init) => {
  const response = await fetched(input, init);
  // Every answer of the API has it, and nothing else that tests ask.
  if (!response.headers.has('x-request-id')) return response;
  const url = new URL(response.url);
  const method = (init?.method ?? (input instanceof Request ? input.method : 'GET')).toUpperCase();
  const body = new Uint8Array(await response.clone().arrayBuffer());
  check ??= import('./conformance.ts').then(({ conformance }) => conformance());
  const problems = (await check)({ method, path: url.pathname, status: response.status, headers: response.headers, body });
  if (problems.length > 0) {
    throw new Error(`${method} ${url.pathname} ${response.status} is not as described: ${problems.join('; ')}\n${new TextDecoder().decode(body.subarray(0, 300))}`);
  }
  return response;
};
