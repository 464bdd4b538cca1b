/** The part of autocannon that is used here; it has no types of its own. */
declare module 'autocannon' {
  export interface Options {
    readonly url: string;
    readonly connections?: number;
    /** Seconds. */
    readonly duration?: number;
    readonly method?: string;
    readonly headers?: Readonly<Record<string, string>>;
    readonly body?: string;
    /** Called once for each connection. */
    readonly setupClient?: (client: Client) => void;
  }
  export interface Client {
    setHeaders(headers: Readonly<Record<string, string>>): void;
    setHeadersAndBody(headers: Readonly<Record<string, string>>, body: string): void;
  }
  export interface Result {
    readonly requests: { readonly average: number; readonly total: number };
    /** Milliseconds. */
    readonly latency: { readonly p50: number; readonly p99: number };
    readonly non2xx: number;
    readonly errors: number;
    readonly timeouts: number;
  }
  export default function autocannon(options: Options): Promise<Result>;
}
