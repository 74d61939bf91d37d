-- Tells approvals processes that a request changed, so that open pages can be read again. One channel for all; a message
-- holds a tenant and an opaque id, which is a reason to look and nothing more: who may look is decided when they do.
-- Only requests and votes have it: nothing on the path of a plain step.

create or replace function tell_of_request() returns trigger language plpgsql as $$
begin
    perform pg_notify('countersign_requests', new.tenant || ' ' || new.request_id);
    return null;
end $$;

create or replace trigger tell_of_request after insert or update on approval_requests for each row
    execute function tell_of_request();
create or replace trigger tell_of_vote after insert or update of state on votes for each row
    execute function tell_of_request();
