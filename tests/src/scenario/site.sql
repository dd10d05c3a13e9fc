-- The tables of the scenarios: those of an application of the role manager, which owns nothing else.
SELECT volguard.grant_operator('manager');
SELECT volguard.grant_usage('stranger');
CREATE SCHEMA app AUTHORIZATION manager;
SET ROLE manager;
CREATE TABLE app.ledger (key text PRIMARY KEY, owner bigint, visits bigint NOT NULL DEFAULT 0);
CREATE TABLE app.history (turn bigint GENERATED ALWAYS AS IDENTITY, key text NOT NULL, token bigint NOT NULL);
CREATE TABLE app.journal (turn bigint GENERATED ALWAYS AS IDENTITY, key text NOT NULL, token bigint NOT NULL, enters boolean NOT NULL);
CREATE TABLE app.volumes (id text PRIMARY KEY, status text NOT NULL, size bigint NOT NULL DEFAULT 1);
