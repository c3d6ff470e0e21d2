import { Menu, Tooltip, UnstyledButton } from '@mantine/core';
import { Person } from '../components/Person';
import classes from './Avatars.module.css';
import type { Person as Participant } from './people';

interface AvatarsProps {
  people: Participant[];
  /** How many are drawn as discs; the others are in a menu. */
  shown: number;
  /** Scrolls to where this person's caret is. */
  onFind: (person: Participant) => void;
}

/** Who is here now. */
export function Avatars({ people, shown, onFind }: AvatarsProps) {
  if (people.length === 0) return null;
  const first = people.slice(0, people.length > shown ? shown - 1 : shown);
  const rest = people.slice(first.length);
  return (
    <ul className={classes.group} aria-label="Also here">
      {first.map((person) => (
        <li key={person.sessionId}>
          <Tooltip label={hint(person)} openDelay={150}>
            <UnstyledButton
              className={classes.person}
              aria-label={hint(person)}
              onClick={() => onFind(person)}
            >
              <Person userId={person.userId} name={person.name} color={person.color} size={30} />
            </UnstyledButton>
          </Tooltip>
        </li>
      ))}
      {rest.length > 0 && (
        <li>
          <Menu position="bottom-end" shadow="md" withinPortal>
            <Menu.Target>
              <UnstyledButton className={classes.person} aria-label={`${rest.length} more people`}>
                <span className={classes.more} aria-hidden>
                  +{rest.length}
                </span>
              </UnstyledButton>
            </Menu.Target>
            <Menu.Dropdown className={classes.rest}>
              {rest.map((person) => (
                <Menu.Item
                  key={person.sessionId}
                  leftSection={
                    <Person
                      userId={person.userId}
                      name={person.name}
                      color={person.color}
                      size={24}
                    />
                  }
                  onClick={() => onFind(person)}
                >
                  {person.name}
                </Menu.Item>
              ))}
            </Menu.Dropdown>
          </Menu>
        </li>
      )}
    </ul>
  );
}

function hint({ name, head }: Participant): string {
  return head === undefined ? name : `${name}: go to their cursor`;
}
