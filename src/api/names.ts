import type { UserProfile } from '../domain/user/events.ts';

/** One address, one account: without regard to case and to the spaces around it. */
export function emailOf(text: string): string {
  return text.trim().toLowerCase();
}

export type Name = Pick<UserProfile, 'firstName' | 'lastName'>;

/** The last word of a full name is the last name. */
export function namesIn(fullName: string): Name {
  const full = fullName.trim();
  const space = full.lastIndexOf(' ');
  return space < 0 ? { firstName: full, lastName: '' } : { firstName: full.slice(0, space).trim(), lastName: full.slice(space + 1) };
}
