import type { IncomingMessage, ServerResponse } from 'node:http';
import helmet from 'helmet';

/**
 * The security headers of every answer, as a flat list of names and values. They never differ between requests, so helmet
 * is asked once and not each time.
 */
export function securityHeaders({ production }: { readonly production: boolean }): readonly string[] {
  const collected: string[] = [];
  const response = {
    setHeader: (name: string, value: string) => collected.push(name, value),
    removeHeader: () => undefined,
  };
  const middleware = helmet({
    contentSecurityPolicy: { directives: { defaultSrc: ["'self'"], frameAncestors: ["'none'"], baseUri: ["'self'"], formAction: ["'self'"] }, useDefaults: false },
    // A browser that once saw it on a developer's machine would ask for https there for a year.
    strictTransportSecurity: production ? { maxAge: 31_536_000 } : false,
    xFrameOptions: { action: 'deny' },
    referrerPolicy: { policy: 'same-origin' },
  });
  let failure: unknown;
  middleware({} as IncomingMessage, response as unknown as ServerResponse, (error) => (failure = error));
  if (failure !== undefined) throw failure as Error;
  return collected;
}
