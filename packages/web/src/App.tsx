import { Center, Loader } from '@mantine/core';
import { lazy, Suspense } from 'react';
import { BrowserRouter, Route, Routes } from 'react-router';
import { PublicScope } from './auth/PublicScope';
import { RequireSession } from './auth/RequireSession';
import { SignInPage } from './auth/SignInPage';
import { NotFoundPage } from './components/NotFoundPage';

// Each page is a chunk of its own: nobody loads an editor in order to sign in.
const RegisterPage = lazy(() =>
  import('./auth/RegisterPage').then((module) => ({ default: module.RegisterPage })),
);
const CallbackPage = lazy(() =>
  import('./auth/CallbackPage').then((module) => ({ default: module.CallbackPage })),
);
const LinkPage = lazy(() =>
  import('./links/LinkPage').then((module) => ({ default: module.LinkPage })),
);
const MembersOnly = lazy(() =>
  import('./auth/MembersOnly').then((module) => ({ default: module.MembersOnly })),
);
const DocumentsPage = lazy(() =>
  import('./documents/DocumentsPage').then((module) => ({ default: module.DocumentsPage })),
);
const EditorPage = lazy(() =>
  import('./editor/EditorPage').then((module) => ({ default: module.EditorPage })),
);
const ProfilePage = lazy(() =>
  import('./account/ProfilePage').then((module) => ({ default: module.ProfilePage })),
);
const AdminPage = lazy(() =>
  import('./admin/AdminPage').then((module) => ({ default: module.AdminPage })),
);

export function App() {
  return (
    <BrowserRouter>
      <Suspense fallback={<PageLoader />}>
        <Routes>
          <Route element={<PublicScope />}>
            <Route path="/sign-in" element={<SignInPage />} />
            <Route path="/sign-in/callback" element={<CallbackPage />} />
            <Route path="/register" element={<RegisterPage />} />
            <Route path="/l/:token" element={<LinkPage />} />
          </Route>
          <Route element={<RequireSession />}>
            <Route path="/d/:documentId" element={<EditorPage />} />
            <Route element={<MembersOnly />}>
              <Route index element={<DocumentsPage />} />
              <Route path="/profile" element={<ProfilePage />} />
              <Route path="/admin/:part?" element={<AdminPage />} />
            </Route>
          </Route>
          <Route path="*" element={<NotFoundPage />} />
        </Routes>
      </Suspense>
    </BrowserRouter>
  );
}

function PageLoader() {
  return (
    <Center mih="100dvh">
      <Loader type="dots" aria-label="Loading" />
    </Center>
  );
}
