import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ApiSettings } from '../settings.ts';
import type { Page, Site } from '../site.ts';

/**
 * `/status/projections`: the read models for a person with a browser. The page is the same for everybody and tells nothing;
 * what it shows it asks the API for, with what its reader signs in with, which stays in the page's memory.
 */
export function statusSite(settings: Pick<ApiSettings, 'name'>): Site {
  const [style, script] = [read('page.css'), read('page.js')];
  const name = settings.name.replaceAll(/[&<>"']/g, '');
  const icon = `data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='none' stroke='%230b57d0' stroke-width='2'%3E%3Cpath d='M4 6h16M4 12h16M4 18h10'/%3E%3C/svg%3E`;
  const body = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>Read models – ${name}</title><meta name="robots" content="noindex,nofollow"><meta name="color-scheme" content="light dark"><link rel="icon" href="${icon}"><style>${style}</style></head>
<body><header><h1 tabindex="-1">Read models</h1><button type="button" id="sign-out" class="quiet" hidden>Sign out</button></header>
<main><noscript><p>This page needs JavaScript. In a terminal: <code>loqey projections status</code></p></noscript>
<form id="sign-in"><p>Sign in as an administrator. Nothing is kept: the session ends with this page.</p><label>Email<input name="email" type="email" autocomplete="username" required maxlength="254"></label><label>Password<input name="password" type="password" autocomplete="current-password" required maxlength="200"></label><p id="wrong" class="wrong" role="alert" hidden></p><div><button>Sign in</button></div></form>
<section id="status" aria-label="Status" hidden><p id="when"></p><p id="said" role="status"></p><ul id="models" class="models"></ul></section></main>
<script>${script}</script></body></html>
`;
  const policy = [
    "default-src 'none'",
    `style-src '${hashOf(style)}'`,
    `script-src '${hashOf(script)}'`,
    'img-src data:',
    "connect-src 'self'",
    "form-action 'none'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
  const page: Page = {
    pattern: '/status/projections',
    methods: ['GET'],
    answer: async () => ({ status: 200, headers: { 'Content-Type': 'text/html; charset=utf-8', 'Content-Security-Policy': policy }, body }),
  };
  return { find: (path) => (path === page.pattern || path === `${page.pattern}/` ? page : undefined) };
}

const read = (file: string): string => readFileSync(new URL(`browser/${file}`, import.meta.url), 'utf8');
const hashOf = (text: string): string => `sha256-${createHash('sha256').update(text).digest('base64')}`;
