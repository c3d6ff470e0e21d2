import {
  IconBulb,
  IconCalendarStats,
  IconGitFork,
  IconNotes,
  IconTargetArrow,
  IconUsers,
  type TablerIcon,
} from '@tabler/icons-react';

// What a new document can begin with: deltas of the formats that the toolbar offers. The texts ask for
// what belongs in their place, so that whoever fills them in deletes little.

/** An insertion, as in a delta. */
interface Insert {
  insert: string;
  attributes?: Readonly<Record<string, unknown>>;
}

export interface Template {
  /** Also the title of the document that it begins. */
  title: string;
  /** What it is for, in a few words. */
  purpose: string;
  Icon: TablerIcon;
  content: { ops: Insert[] };
}

/** A line: its text, in which `**` turns bold on and off, and the attributes of its end. */
type Line = readonly [text: string, attributes?: Readonly<Record<string, unknown>>];

const heading = (text: string): Line => [text, { header: 2 }];
const bullet = (text: string): Line => [text, { list: 'bullet' }];
const step = (text: string): Line => [text, { list: 'ordered' }];
const task = (text: string): Line => [text, { list: 'unchecked' }];
const quote = (text: string): Line => [text, { blockquote: true }];

/** The delta of `lines`, with no two neighbours that could be one operation. */
export function contentOf(lines: readonly Line[]): { ops: Insert[] } {
  const ops: Insert[] = [];
  const add = (insert: string, attributes?: Insert['attributes']) => {
    if (insert === '') return;
    const last = ops.at(-1);
    if (last && !last.attributes && !attributes) last.insert += insert;
    else ops.push(attributes ? { insert, attributes } : { insert });
  };
  for (const [text, attributes] of lines) {
    for (const [index, part] of text.split('**').entries()) {
      add(part, index % 2 === 1 ? { bold: true } : undefined);
    }
    add('\n', attributes);
  }
  return { ops };
}

export const TEMPLATES: readonly Template[] = [
  {
    title: 'Meeting notes',
    purpose: 'Agenda, decisions and who does what',
    Icon: IconUsers,
    content: contentOf([
      ['**Date:** '],
      ['**Present:** '],
      ['**Notes taken by:** '],
      heading('What we want from this meeting'),
      quote('One sentence: what should be decided or clear when we part?'),
      heading('Agenda'),
      step('What has changed since last time'),
      step('The question that needs us all'),
      step('Anything else'),
      heading('Discussion'),
      bullet('Points that someone who was absent will need'),
      heading('Decisions'),
      bullet('We will … because …'),
      heading('Next steps'),
      task('What, who, by when'),
      task('Send these notes to everyone concerned'),
    ]),
  },
  {
    title: 'Project brief',
    purpose: 'Why, for whom, what, and by when',
    Icon: IconTargetArrow,
    content: contentOf([
      ['**Lead:** '],
      ['**Team:** '],
      ['**Status:** Draft'],
      heading('The problem'),
      ['Who has it, how often, and what does it cost them today?'],
      heading('Goal'),
      ['What will be true when this is done that is not true now?'],
      bullet('**Sign of success:** a number or an observation, and how we get it'),
      bullet('**Not a goal:** what one might expect of this project, and will not find'),
      heading('What we will do'),
      ['The approach in a paragraph, for somebody who was not in the room.'],
      heading('Milestones'),
      task('First version that somebody outside the team can try'),
      task('Everything that is needed to call it finished'),
      task('Look back: did it reach the goal?'),
      heading('Risks'),
      bullet('What could go wrong, how we would notice, and what we would do'),
      heading('Open questions'),
      bullet('Question, and who will answer it'),
    ]),
  },
  {
    title: 'Decision record',
    purpose: 'What was decided, and what else was weighed',
    Icon: IconGitFork,
    content: contentOf([
      ['**Status:** Proposed'],
      ['**Decided by:** '],
      ['**Date:** '],
      heading('Context'),
      ['What makes a decision necessary now? Facts and constraints, no opinions yet.'],
      heading('Decision'),
      quote('We will …'),
      heading('What else we considered'),
      bullet('**Option A:** what speaks for it, what against it'),
      bullet('**Option B:** what speaks for it, what against it'),
      bullet('**Doing nothing:** what happens then'),
      heading('Consequences'),
      bullet('What becomes easier'),
      bullet('What becomes harder, and how we live with that'),
      heading('When to look at this again'),
      ['The event or date that would make us reconsider.'],
    ]),
  },
  {
    title: 'Weekly report',
    purpose: 'Done, next, and what is in the way',
    Icon: IconCalendarStats,
    content: contentOf([
      ['**Week of:** '],
      ['**Team:** '],
      heading('In short'),
      quote('If people read one sentence only, it should be this one.'),
      heading('Done'),
      bullet('What is finished, and what difference it makes'),
      heading('Next'),
      task('The most important thing for next week'),
      task('The second'),
      heading('In the way'),
      bullet('What slows us down, and who could help'),
      heading('Numbers'),
      bullet('Measure: last week → this week'),
      heading('Thanks'),
      bullet('Who made this week better'),
    ]),
  },
  {
    title: 'Brainstorm',
    purpose: 'Many ideas first, judgement later',
    Icon: IconBulb,
    content: contentOf([
      heading('The question'),
      quote('How might we …?'),
      heading('How we do this'),
      step('Ten minutes: everyone adds ideas, as many as they can. Nobody judges.'),
      step('Five minutes: read all of them, put together what belongs together.'),
      step('Five minutes: everyone puts their initials behind the three they like best.'),
      step('Choose what to try first.'),
      heading('Ideas'),
      bullet(''),
      bullet(''),
      bullet(''),
      heading('What belongs together'),
      ['**A theme:** '],
      ['**Another:** '],
      heading('What we try first'),
      task('The idea, the smallest way to try it, and who does'),
    ]),
  },
  {
    title: 'One-to-one',
    purpose: 'A conversation between two people',
    Icon: IconNotes,
    content: contentOf([
      ['**Between:** '],
      ['**Date:** '],
      heading('How are things?'),
      bullet('What went well since we last spoke'),
      bullet('What was hard'),
      heading('What is on your mind'),
      bullet('Both add topics beforehand; the most important one goes first'),
      heading('Feedback'),
      bullet('Something to keep doing'),
      bullet('Something to try another way'),
      heading('Looking ahead'),
      bullet('What you would like to learn or do next'),
      heading('What we agreed'),
      task('What, who, by when'),
    ]),
  },
];
