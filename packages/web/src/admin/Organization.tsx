import { useMe } from '../auth/me';
import { Section } from '../components/Section';
import { NameForm } from '../forms/NameForm';
import { useRenameOrganization } from './queries';

/** What the organization is called. */
export function Organization() {
  const name = useMe().data?.organizationName ?? '';
  const rename = useRenameOrganization();
  return (
    <Section title="Organization" lead="People see its name where they share documents.">
      <NameForm name={name} action="Rename" onSave={rename.mutateAsync} />
    </Section>
  );
}
