import { Center, Loader } from '@mantine/core';
import { lazy, Suspense } from 'react';
import { BrowserRouter, Route, Routes } from 'react-router';
import { RequireSession } from './auth/RequireSession';
import { SignInPage } from './auth/SignInPage';
import { NotFoundPage } from './components/NotFoundPage';

// Each page is a chunk of its own: nobody loads an editor in order to sign in.
const RegisterPage = lazy(() =>
  import('./auth/RegisterPage').then((module) => ({ default: module.RegisterPage })),
);
const DocumentsPage = lazy(() =>
  import('./documents/DocumentsPage').then((module) => ({ default: module.DocumentsPage })),
);
const EditorPage = lazy(() =>
  import('./editor/EditorPage').then((module) => ({ default: module.EditorPage })),
);

export function App() {
  return (
    <BrowserRouter>
      <Suspense fallback={<PageLoader />}>
        <Routes>
          <Route path="/sign-in" element={<SignInPage />} />
          <Route path="/register" element={<RegisterPage />} />
          <Route element={<RequireSession />}>
            <Route index element={<DocumentsPage />} />
            <Route path="/d/:documentId" element={<EditorPage />} />
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
