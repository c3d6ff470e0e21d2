import { Box, Text, Title } from '@mantine/core';
import { useDocumentTitle } from '@mantine/hooks';
import type { ReactNode } from 'react';
import { Logo } from '../components/Logo';
import classes from './AuthLayout.module.css';

interface AuthLayoutProps {
  title: string;
  /** The line under the title. */
  lead: ReactNode;
  children: ReactNode;
}

/** The frame of the sign-in and register pages: a form, and on wide screens a picture beside it. */
export function AuthLayout({ title, lead, children }: AuthLayoutProps) {
  useDocumentTitle(`${title} · Motet`);
  return (
    <div className={classes.layout}>
      <div className={classes.panel} aria-hidden="true">
        <Logo size={36} />
        <Voices />
        <div>
          <div className={classes.claim}>Many voices, one document.</div>
          <div className={classes.subclaim}>
            Write together at the same time. Every edit is safe before anyone sees it, and what you
            write offline joins in when you are back.
          </div>
        </div>
      </div>
      <main className={classes.form}>
        <Box className={classes.logo}>
          <Logo size={34} />
        </Box>
        <Title order={1} fz={28} lts="-0.02em">
          {title}
        </Title>
        <Text c="dimmed" mt={6} mb="xl">
          {lead}
        </Text>
        {children}
      </main>
    </div>
  );
}

/** One voice's notes: its colour, and where each begins and ends across a width of 640. */
const VOICES: ReadonlyArray<{ color: string; notes: ReadonlyArray<readonly [number, number]> }> = [
  {
    color: '#ffffff',
    notes: [
      [56, 230],
      [270, 300],
      [340, 520],
    ],
  },
  {
    color: '#ffc94d',
    notes: [
      [140, 190],
      [230, 420],
      [460, 600],
    ],
  },
  {
    color: '#ff8f7a',
    notes: [
      [220, 330],
      [370, 470],
      [510, 560],
    ],
  },
  {
    color: '#7fdcc4',
    notes: [
      [300, 360],
      [400, 700],
    ],
  },
];

function Voices() {
  return (
    <svg className={classes.voices} viewBox="0 0 640 260" focusable="false" aria-hidden="true">
      {VOICES.map(({ color, notes }, voice) =>
        notes.map(([from, to], index) => (
          <path
            key={`${color}${from}`}
            className={classes.voice}
            d={`M${from} ${40 + voice * 58}H${to}`}
            stroke={color}
            pathLength={100}
            style={{ animationDelay: `${120 * voice + 180 * index}ms` }}
          />
        )),
      )}
    </svg>
  );
}
