import { Badge, Skeleton, Text, VisuallyHidden } from '@mantine/core';
import type { ReactNode } from 'react';
import classes from './Rows.module.css';

interface RowsProps {
  label: string;
  children: ReactNode;
}

/** A list of things, one under the other, each with what can be done to it. */
export function Rows({ label, children }: RowsProps) {
  return (
    <ul className={classes.list} aria-label={label}>
      {children}
    </ul>
  );
}

interface RowProps {
  icon?: ReactNode;
  title: string;
  /** [Tag]s beside the title. */
  tags?: ReactNode;
  subtitle?: ReactNode;
  /** At the end of the row; under the title where there is little room. */
  meta?: ReactNode;
  /** Buttons. */
  actions?: ReactNode;
}

export function Row({ icon, title, tags, subtitle, meta, actions }: RowProps) {
  return (
    <li className={classes.row}>
      {icon && <div className={classes.icon}>{icon}</div>}
      <div className={classes.text}>
        <div className={classes.title}>
          <span title={title}>{title}</span>
          {tags}
        </div>
        {subtitle && <div className={classes.subtitle}>{subtitle}</div>}
      </div>
      <div className={classes.meta}>{meta}</div>
      <div className={classes.actions}>{actions}</div>
    </li>
  );
}

interface TagProps {
  children: string;
  color?: 'lapis' | 'gray' | 'red';
}

/** A short word on what something is. */
export function Tag({ children, color = 'lapis' }: TagProps) {
  return (
    <Badge size="sm" tt="none" fw={600} variant="light" color={color} flex="none">
      {children}
    </Badge>
  );
}

const SKELETON_WIDTHS = ['46%', '62%', '38%'];

/** The list's shape while it loads. */
export function RowsSkeleton({ label }: { label: string }) {
  return (
    <div aria-busy="true">
      <VisuallyHidden role="status">{label}</VisuallyHidden>
      {SKELETON_WIDTHS.map((width) => (
        <div key={width} className={classes.row}>
          <Skeleton h={32} w={32} circle />
          <Skeleton h={14} w={width} />
        </div>
      ))}
    </div>
  );
}

/** Stands in the place of a list without rows. */
export function NoRows({ children }: { children: ReactNode }) {
  return (
    <Text c="dimmed" ta="center" size="sm" px="md" py="xl" role="status">
      {children}
    </Text>
  );
}
