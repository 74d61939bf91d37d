-- What lists of approval requests go by: facts taken out of a request when it is written, and terms that find it.
-- Triggers keep them, whoever writes the request. Row-level security is why there is a table of terms: Postgres uses an
-- index below a policy only for operators that leak nothing, and those of full text, arrays and patterns may leak.

create or replace function terms_of(p_text text) returns setof text language sql immutable as $$
    -- Each word from each of its parts on: a search finds payments.issue_refund by pay, by issue_r and by refund.
    -- No regular expression: this runs for every request, and they cost a hundred times as much.
    select distinct term from (
        select ltrim(substr(word, length(array_to_string(parts[1 : part], '_')) + 1), '_.-/:@#+=<') as term
        from (
            select btrim(split, '_.-/:@#+=<>') as word
            from string_to_table(translate(lower(p_text), E',;()"\'\t\n\r', '         '), ' ') split
        ) words
            cross join lateral string_to_array(translate(word, '.-/:@#+=<', '_________'), '_') parts
            cross join lateral generate_series(0, least(cardinality(parts), 9) - 1) part
    ) found where length(term) between 2 and 200 limit 80
$$;

create or replace function derive_request() returns trigger language plpgsql as $$
declare
    shown jsonb;
begin
    if tg_op = 'INSERT' then
        shown := new.view::jsonb;
        new.resource_type := coalesce(shown ->> 'resource_type', '');
        new.resource_id := coalesce(shown ->> 'resource_id', '');
        new.money_minor := (shown ->> 'money_minor')::bigint;
        new.currency := shown ->> 'currency';
        -- Minor units of different currencies are compared as they are: a rank, not a rate of exchange.
        new.risk := new.tier * 10::bigint ^ 17 + least(abs(coalesce(new.money_minor, 0)), 10::bigint ^ 17 - 1);
    end if;
    new.groups := array(select need ->> 'group' from jsonb_array_elements(new.requirement::jsonb -> 'needs') need)
        || new.escalated_to;
    new.ended_at := coalesce(new.closed_at, new.expires_at);
    return new;
end $$;
create or replace trigger derive_request before insert or update of requirement, escalated_to, closed_at, expires_at
    on approval_requests for each row execute function derive_request();

create or replace function note_terms() returns trigger language plpgsql as $$
begin
    insert into approval_terms (tenant, request_id, term, ended_at)
        select a.tenant, a.request_id, t.term, a.ended_at
        from added a cross join lateral (select a.view::jsonb as shown) v cross join lateral (
            select terms_of(concat_ws(' ', a.request_id, a.run_id, a.agent, a.tool, a.resource_id,
                v.shown ->> 'on_behalf_of', regexp_replace(split_part(v.shown ->> 'asked_by', ' started by ', 2),
                    '\m(about|from)\M', ' ', 'g'))) as term
            union select 'group:' || unnest(a.groups)
            union select '!' || lower(jsonb_array_elements_text(a.interested::jsonb))) t
        on conflict do nothing;
    return null;
end $$;
create or replace trigger note_terms after insert on approval_requests
    referencing new table as added for each statement execute function note_terms();

create or replace function renew_terms() returns trigger language plpgsql as $$
begin
    update approval_terms t set ended_at = n.ended_at
        from changed n join before_it o using (tenant, request_id)
        where t.tenant = n.tenant and t.request_id = n.request_id and n.ended_at <> o.ended_at;
    delete from approval_terms t using changed n join before_it o using (tenant, request_id)
        where t.tenant = n.tenant and t.request_id = n.request_id and n.groups <> o.groups
            and t.term like 'group:%' and substr(t.term, 7) <> all (n.groups);
    insert into approval_terms (tenant, request_id, term, ended_at)
        select n.tenant, n.request_id, 'group:' || unnest(n.groups), n.ended_at
        from changed n join before_it o using (tenant, request_id) where n.groups <> o.groups
        on conflict do nothing;
    return null;
end $$;
create or replace trigger renew_terms after update on approval_requests
    referencing old table as before_it new table as changed for each statement execute function renew_terms();
