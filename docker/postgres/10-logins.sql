-- Runs once, as the superuser, when the data folder is empty: the database, its owner, and the login of our processes.
-- The roles that the login takes on, and its membership in them, are made by `countersign migrate`.
\set owner_password `cat /run/secrets/postgres-owner-password`
\set login_password `cat /run/secrets/postgres-login-password`
create role countersign_owner login createrole nosuperuser nocreatedb nobypassrls password :'owner_password';
create role countersign_login login noinherit nocreaterole nosuperuser nocreatedb nobypassrls password :'login_password';
create database countersign owner countersign_owner encoding 'UTF8';
revoke all on database countersign from public;
grant connect on database countersign to countersign_login;
