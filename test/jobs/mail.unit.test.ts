import { describe, expect, it } from 'vitest';
import { isMailed, kinds, languages, type Facts, type Kind, type Language } from '../../src/jobs/notifications/kinds.ts';
import { digestMail, DIGEST_SHOWN, escape, notificationMail, type MailFrame } from '../../src/jobs/notifications/mail.ts';
import { say, timeIn } from '../../src/jobs/notifications/words.ts';

const facts: Facts = { level: 12, last_heard_at: '2026-11-21T09:58:00.000Z', cause: 'link', by: 'admin', reason: 'the owner is locked out', admin_id: 'a1', scope: 'user' };
const saying = (language: Language, over: Partial<{ box: string; link: string | undefined; facts: Facts }> = {}) => {
  const at = timeIn(language, 'Europe/Istanbul');
  return { box: '“Front door”', link: 'Parcel', time: at('2026-11-21T10:05:00.000Z'), facts, at, ...over };
};
const frame = (language: Language): MailFrame => ({ language, name: 'Ana', url: 'https://app.loqey.com' });

describe('the words of a notification', () => {
  it.each(kinds.flatMap((kind) => languages.map((language) => [kind, language] as const)))('%s in %s are whole sentences with what and when', (kind, language) => {
    const { title, text } = say(language, kind, saying(language));
    for (const words of [title, text]) {
      expect(words).not.toMatch(/undefined|null|NaN|\[object|\{|\}/);
      expect(words.trim()).toBe(words);
    }
    expect(text).toMatch(/\.$/);
    // The zone is always said: Istanbul is three hours ahead.
    expect(text).toMatch(kind === 'device_offline' ? /12:58.*GMT\+3/ : /13:05.*GMT\+3/);
    expect(title.length).toBeLessThan(80);
  });

  it.each(kinds)('%s are other words in the other language', (kind) => {
    expect(say('en', kind, saying('en')).text).not.toBe(say('tr', kind, saying('tr')).text);
  });

  it('say what is known, and no more', () => {
    const text = (kind: Kind, over: Parameters<typeof saying>[1] = {}) => say('en', kind, saying('en', over)).text;
    expect(text('link_opened')).toBe('“Front door” was opened on Sat, 21 November 2026 at 13:05 GMT+3 with your link “Parcel”. The box reported that its bolt moved.');
    expect(text('link_opened', { link: undefined, facts: { later: true } })).toContain('with a link of yours. The box told us only now.');
    expect(text('unlock_unknown')).toContain('It may have opened');
    expect(text('unlock_unknown')).toContain('The link counts as used');
    expect(text('unlock_unknown', { facts: { cause: 'owner' } })).not.toContain('link');
    expect(text('emergency_unlock')).toContain('The reason given: “the owner is locked out”.');
    expect(text('emergency_unlock', { facts: {} })).toContain('No reason was given.');
    expect(text('unlink_done', { facts: { by: 'owner' } })).toContain('by you');
    expect(text('battery_low')).toContain('12 %');
  });

  it('tell times in any zone with its name', () => {
    expect(timeIn('en', 'UTC')('2026-11-21T10:05:00.000Z')).toBe('Sat, 21 November 2026 at 10:05 UTC');
    expect(timeIn('tr', 'Europe/Istanbul')('2026-11-21T22:05:00.000Z')).toMatch(/22 Kasım 2026.*01:05.*GMT\+3/);
    expect(timeIn('en', 'America/New_York')('2026-07-01T03:00:00.000Z')).toMatch(/30 June 2026.*23:00 GMT-4/);
  });
});

describe('a mail', () => {
  const nasty = `<script>alert("x")</script> & 'co'`;

  it.each(languages)('in %s has everything twice: as text and as a page', (language) => {
    const said = say(language, 'link_opened', saying(language));
    const { subject, text, html } = notificationMail(said, frame(language));
    expect(subject).toBe(said.title);
    expect(text).toContain(said.text);
    expect(text).toContain('Ana');
    expect(text).toContain('https://app.loqey.com');
    expect(html).toContain(`<html lang="${language}">`);
    expect(html).toContain(escape(said.text));
    expect(html).toContain('prefers-color-scheme: dark');
    // Nothing that a mail program would have to fetch, and nothing that runs.
    expect(html).not.toMatch(/<img|<link|<script|@import|url\(/i);
  });

  it('shows what people wrote as they wrote it, and runs none of it', () => {
    for (const language of languages) {
      for (const kind of kinds) {
        const said = say(language, kind, saying(language, { box: nasty, link: nasty, facts: { ...facts, reason: nasty, admin_id: nasty } }));
        const { html, text } = notificationMail(said, { ...frame(language), name: nasty, url: 'https://app.loqey.com/?a=1&b="2"' });
        expect(html).not.toContain('<script>');
        expect(html).not.toContain('"2"');
        expect(text).toContain(nasty);
      }
    }
  });

  it('has one line as its subject, whatever a name is made of', () => {
    const said = say('en', 'device_jammed', saying('en', { box: 'x\r\nBcc: other@example.com' }));
    expect(notificationMail(said, frame('en')).subject).not.toMatch(/[\r\n]/);
  });

  it('of many holds the first of them and says how many there are', () => {
    const all = Array.from({ length: 33 }, (_, n) => ({ title: `Title ${n}`, text: `Text ${n}.` }));
    const { subject, text, html } = digestMail(all, frame('en'));
    expect(subject).toBe('33 more messages from Loqey');
    expect(text).toContain(`The first ${DIGEST_SHOWN} are here`);
    expect(text).toContain('Title 19\nText 19.');
    expect(text).not.toContain('Title 20');
    expect(html.match(/<h2>/g)).toHaveLength(DIGEST_SHOWN);
    expect(digestMail(all.slice(0, 1), frame('tr')).subject).toBe('Loqey’den 1 ileti daha');
  });

  it('is sent for a kind unless it was switched off; what protects the account always', () => {
    expect(isMailed('link_opened', {})).toBe(true);
    expect(isMailed('link_opened', { link_opened: false })).toBe(false);
    expect(isMailed('device_online', {})).toBe(false);
    expect(isMailed('device_online', { device_online: true })).toBe(true);
    expect(isMailed('password_changed', { password_changed: false })).toBe(true);
  });
});
