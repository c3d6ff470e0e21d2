-- Names as they are searched, folded by the program: databases differ in that.
ALTER TABLE users ADD COLUMN name_folded TEXT NOT NULL DEFAULT '';
