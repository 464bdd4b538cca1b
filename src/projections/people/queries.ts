import type { PeopleQueries, PersonalRow } from '../read-models.ts';
import type { Reader, Schemas } from '../schemas.ts';

const ofSubject = {
  name: 'people.of_subject',
  text: (s: Schemas) => `
    SELECT ref, kind, fields, since FROM ${s['people']}.people
     WHERE subject_id = $1 AND ($2::uuid IS NULL OR ref > $2) ORDER BY ref LIMIT $3`,
};

const reason = {
  name: 'people.reason',
  text: (s: Schemas) => `SELECT fields->>'reason' AS reason FROM ${s['people']}.people WHERE ref = $1 AND kind = 'reason'`,
};

export function createPeopleQueries(reader: Reader): PeopleQueries {
  return {
    ofSubject: (subject, after, limit) => reader.all<PersonalRow & Record<string, unknown>>(ofSubject, [subject, after ?? null, limit]),
    reason: async (unlockId) => (await reader.first<{ reason: string | null }>(reason, [unlockId]))?.reason ?? undefined,
  };
}
