-- What is booked of some requests: what each cost when it was first booked, and what every correction of it added.
SELECT request_id, entry, at_utc, total
FROM requested
WHERE false
  OR request_id = :wanted
